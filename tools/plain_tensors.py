"""Published network files (PyTorch pickles) read without running anything from them.

`torch.load(weights_only=True)` reads tensors; NumPy's numbers beside them are made by `plain_pickle`. A tool
of the repository that never ships in the plugin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plain_pickle


def load(path: Path) -> Any:
    """The content of a network file: tensors, numbers, text, dictionaries and lists of them.

    Raises:
        SystemExit: it is missing, damaged, or holds anything else; nothing of it has been run.
    """
    import torch

    if not path.is_file():
        raise SystemExit(f"{path} not found.")
    # the published files hold tensors and (validation F1) a NumPy number
    stand_ins = [(found, f"{module}.{name}") for (module, name), found in plain_pickle.ALLOWED.items()]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names what it refuses, over many lines
        reason = next(
            (line for line in str(error).splitlines() if "GLOBAL" in line), str(error).split("\n")[0]
        )
        raise SystemExit(f"{path} is refused or damaged, nothing of it was run: {reason.strip()}") from error


def state_dict(stored: Any, keys: tuple[str, ...]) -> dict[str, Any] | None:
    """The tensors by name, below the first of `keys` that is there, else of the whole; None: no tensors."""
    import torch

    if not isinstance(stored, dict):
        return None
    state = next((stored[key] for key in keys if key in stored), stored)
    if isinstance(state, dict) and state and all(isinstance(value, torch.Tensor) for value in state.values()):
        return dict(state)
    return None
