"""Loading the parts of a CLIP folder: local files, no code of the folder, no random weights."""

from __future__ import annotations

from typing import Any

import torch

from sits_engine.errors import InputError
from sits_engine.models.clip.folder import ClipFolder

AGAIN = "Copy or fetch the model again."


def _library() -> Any:
    """Transformers, without its words for developers: the user gets our own."""
    import transformers

    library: Any = transformers  # partly typed
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library


def tokenizer(folder: ClipFolder) -> Any:
    """Its tokenizer.

    Raises:
        InputError: it can't be read.
    """
    library = _library()
    try:
        return library.AutoTokenizer.from_pretrained(
            folder.path, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, TypeError, KeyError) as error:
        raise InputError(f"The tokenizer in {folder.path} can't be read: {_first(error)}.", AGAIN) from error


def processor(folder: ClipFolder) -> Any:
    """What scales, crops and normalises a photo.

    Raises:
        InputError: it can't be read.
    """
    library = _library()
    kind = {"clip": library.CLIPImageProcessor, "siglip": library.SiglipImageProcessor}[folder.family]
    try:
        return kind.from_pretrained(folder.path, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"preprocessor_config.json in {folder.path} can't be read: {_first(error)}.", AGAIN
        ) from error


def network(folder: ClipFolder) -> torch.nn.Module:
    """The network in float32 and eval mode.

    Raises:
        InputError: the weights are damaged, hold something else than tensors, or don't fit the configuration.
    """
    library = _library()
    kind = {"clip": library.CLIPModel, "siglip": library.SiglipModel}[folder.family]
    try:
        model, facts = kind.from_pretrained(
            folder.path,
            local_files_only=True,
            use_safetensors=folder.safe,
            weights_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except Exception as error:  # damaged files raise what the readers of tensors happen to raise
        if isinstance(error, MemoryError):
            raise
        raise InputError(f"The weights in {folder.path} can't be read: {_first(error)}.", AGAIN) from error
    wrong = [*facts["missing_keys"], *(str(one[0]) for one in facts["mismatched_keys"])]
    if wrong:
        raise InputError(
            f"The weights in {folder.path} don't fit its config.json: {len(wrong)} are missing or of another "
            f"shape, e.g. {wrong[0]}.",
            AGAIN,
        )
    network: torch.nn.Module = model.eval().requires_grad_(False)
    return network


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
