"""What a folder with a CLIP model holds (Hugging Face layout), checked without loading it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sits_engine.errors import InputError
from sits_engine.models.clip import store

#: model_type of config.json -> is the text always padded to its full length? (SigLIP learned it so.)
FAMILIES = {"clip": False, "siglip": True}
#: (weights, index of weights in several files), the first that is there is used: safetensors can't run code,
#: of the others only tensors are read.
WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
#: Files of which one set makes a tokenizer.
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
#: Files that change what a text becomes.
TOKENIZER_FILES = (
    "tokenizer.json", "vocab.json", "merges.txt", "spiece.model", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
PREPROCESSING = "preprocessor_config.json"
ADVICE = (
    "Choose the folder of a CLIP model in Hugging Face layout (config.json, model.safetensors, "
    "tokenizer.json, preprocessor_config.json), or fetch one with 'Fetch CLIP model'."
)


@dataclass(frozen=True)
class ClipFolder:
    """A checked folder.

    Attributes:
        path: the folder.
        family: one of `FAMILIES`.
        dim: length of the vectors.
        max_tokens: longest text, with its start and end tokens.
        weights: the files with the weights.
        safe: they are safetensors.
        fingerprint: SHA-256 (hex) over configuration, tokenizer and weights: which vectors a text or a
            photo gets, whatever the folder is called.
        preprocessing: SHA-256 (hex) over how a photo is scaled, cropped and normalised.
    """

    path: Path
    family: str
    dim: int
    max_tokens: int
    weights: tuple[Path, ...]
    safe: bool
    fingerprint: str
    preprocessing: str


def check_folder(path: Path) -> ClipFolder:
    """Read the small files of a folder and hash the large ones (once; `store.file_hash` remembers).

    Raises:
        InputError: no folder, no configuration, another architecture (named), or a part is missing (named).
    """
    if not path.is_dir():
        raise InputError(f"CLIP model: {path} is no folder.", ADVICE)
    family, config = family_of(path)
    weights, safe = _weights(path)
    if not any(all((path / name).is_file() for name in names) for names in TOKENIZERS):
        raise InputError(f"The CLIP model in {path} has no tokenizer (tokenizer.json is missing).", ADVICE)
    _json(path / PREPROCESSING, path)
    texts = [path / "config.json", *(path / name for name in TOKENIZER_FILES)]
    parts = [(file.name, store.file_hash(file)) for file in (*texts, *weights) if file.is_file()]
    dim, max_tokens = _sizes(config, family)
    return ClipFolder(
        path=path,
        family=family,
        dim=dim,
        max_tokens=max_tokens,
        weights=weights,
        safe=safe,
        fingerprint=hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        preprocessing=store.file_hash(path / PREPROCESSING),
    )


def damaged(folder: ClipFolder) -> Path | None:
    """The first file of weights that is no whole safetensors file, by its header; None where all are."""
    from safetensors import SafetensorError, safe_open

    for file in folder.weights if folder.safe else ():
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError):
            return file
    return None


def family_of(path: Path) -> tuple[str, dict[str, Any]]:
    """One of `FAMILIES`, and the configuration.

    Raises:
        InputError: there is no configuration, or it names another architecture.
    """
    config = _json(path / "config.json", path)
    family = str(config.get("model_type") or "")
    if family not in FAMILIES:
        found = family or ", ".join(config.get("architectures") or []) or "no model_type"
        raise InputError(
            f"The model in {path} is not a CLIP model: its config.json names the architecture '{found}', "
            f"readable are {' and '.join(FAMILIES)}.",
            ADVICE,
            architecture=found,
        )
    return family, config


def _json(file: Path, folder: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"The CLIP model in {folder} is incomplete: {file.name} is missing.", ADVICE)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{file} can't be read: {error}.", "Copy or fetch the model again.") from error
    if not isinstance(found, dict):
        raise InputError(
            f"{file} is not what it should be (a JSON object).", "Copy or fetch the model again."
        )
    return found


def _weights(path: Path) -> tuple[tuple[Path, ...], bool]:
    for single, index in WEIGHTS:
        safe = single.endswith(".safetensors")
        if (path / single).is_file():
            return (path / single,), safe
        if (path / index).is_file():
            names = sorted(set(_json(path / index, path).get("weight_map", {}).values()))
            for name in names:
                if not (path / name).is_file():
                    raise InputError(f"The CLIP model in {path} is incomplete: {name} is missing.", ADVICE)
            return tuple(path / name for name in names), safe
    raise InputError(
        f"The CLIP model in {path} is incomplete: model.safetensors (the weights) is missing.", ADVICE
    )


def _sizes(config: dict[str, Any], family: str) -> tuple[int, int]:
    """Length of the vectors and of the longest text; a configuration may leave out what is the default."""
    text, vision = config.get("text_config") or {}, config.get("vision_config") or {}
    if family == "clip":
        return int(config.get("projection_dim", 512)), int(text.get("max_position_embeddings", 77))
    return (
        int(text.get("projection_size") or vision.get("hidden_size", 768)),
        int(text.get("max_position_embeddings", 64)),
    )
