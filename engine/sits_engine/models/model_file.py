"""Model files: safetensors with a JSON card in the metadata. Reading one never runs code from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sits_engine import outputs
from sits_engine.errors import InputError, ModelError
from sits_engine.models.blank import blank
from sits_engine.models.card import FORMAT, FORMAT_WITH_FAST, FastCard, ModelCard
from sits_engine.models.registry import build

CARD_KEY = "sits_model_card"
CARD_SHA_KEY = "sits_model_card_sha256"
#: Before the names of the fast network's tensors.
FAST = "fast."
GET_AGAIN = "Get the file again from where it came from, or train the model again."


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_model(
    path: Path, module: nn.Module, card: ModelCard, fast: tuple[nn.Module, FastCard] | None = None
) -> ModelCard:
    """Write weights and card to `path`, complete or not at all.

    Args:
        path: ends with .safetensors.
        module: the network that `card.architecture` and `card.hyperparameters` describe.
        card: its `format`, `fast` and `tensors_sha256` are filled in the file.
        fast: a fast network for the same inputs and classes, and what the card says of it; None: the file
            holds none, whatever the card said.

    Returns:
        The card as written.
    """
    tensors = dict(module.state_dict())
    if fast is not None:
        tensors |= {FAST + name: value for name, value in fast[0].state_dict().items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    written = card.model_copy(
        update={
            "format": FORMAT if fast is None else FORMAT_WITH_FAST,
            "fast": None if fast is None else fast[1],
            "tensors_sha256": tensors_sha256(tensors),
        }
    )
    # Without a fast network the card has no word about it, so that older engines read the file.
    text = written.model_dump_json(exclude={"fast"} if fast is None else None)
    metadata = {"format": "pt", CARD_KEY: text, CARD_SHA_KEY: hashlib.sha256(text.encode()).hexdigest()}
    with outputs.atomic(Path(path)) as temporary:
        # Not save_file, which makes a file that only its owner can read.
        temporary.write_bytes(save(tensors, metadata=metadata))
    return written


def read_card(path: Path) -> ModelCard:
    """The card alone: fast, whatever the size of the model.

    Raises:
        ModelError: no such file, no model, truncated, or the card was changed.
    """
    return _parse_card(Path(path), _open(Path(path))[0])


def load_model(path: Path) -> tuple[nn.Module, ModelCard]:
    """Read a model.

    Returns:
        The network in eval mode, on the CPU, and its card.

    Raises:
        ModelError: as `read_card`; also tensors that don't match the checksum or the card.
    """
    card, own, _ = _read(Path(path))
    return _network(Path(path), card, own), card


def load_fast(path: Path) -> tuple[nn.Module, ModelCard]:
    """Read the fast network of a model.

    Returns:
        The network in eval mode, on the CPU, and a card of its own: as the model's, with the fast network's
        hyperparameters, temperature and scores.

    Raises:
        InputError: the file holds none.
        ModelError: as `load_model`.
    """
    path = Path(path)
    card, _, fast = _read(path)
    if card.fast is None:
        raise InputError(
            f"The model {path.name} holds no fast network.",
            "Train or adapt it again with FAST switched on, or map without FAST.",
        )
    card = card.model_copy(update={**dict(card.fast), "fast": None})
    return _network(path, card, fast), card


def _read(path: Path) -> tuple[ModelCard, dict[str, Tensor], dict[str, Tensor]]:
    """Card, tensors of the network, and those of the fast one without its prefix; checked against the sum."""
    metadata, tensors = _open(path, with_tensors=True)
    card = _parse_card(path, metadata)
    if tensors_sha256(tensors) != card.tensors_sha256:
        raise ModelError(
            f"The weights in {path.name} don't match their checksum: the file was changed or damaged.",
            GET_AGAIN,
            path=str(path),
        )
    if card.fast is None:
        return card, tensors, {}
    fast = {name.removeprefix(FAST): value for name, value in tensors.items() if name.startswith(FAST)}
    return card, {name: value for name, value in tensors.items() if not name.startswith(FAST)}, fast


def _network(path: Path, card: ModelCard, tensors: dict[str, Tensor]) -> nn.Module:
    """The network of a card with these tensors; ModelError where they don't fit."""
    # Built without memory first: a card can't make the engine allocate more than the file holds.
    module = blank(lambda: build(card.architecture, card.hyperparameters))
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        names = expected.keys() | found.keys()
        wrong = next(name for name in sorted(names) if expected.get(name) != found.get(name))
        raise ModelError(
            f"The weights in {path.name} don't fit the network on its card: '{wrong}' is "
            f"{found.get(wrong, 'missing')}, the card says {expected.get(wrong, 'nothing of that name')}.",
            GET_AGAIN,
            path=str(path),
            tensor=wrong,
        )
    module.load_state_dict(tensors, assign=True)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    return module.eval()


def _open(path: Path, *, with_tensors: bool = False) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata of the file and, on wish, its tensors; ModelError where it is no model."""
    if not path.is_file():
        raise ModelError(f"There is no model file {path}.", "Check the path.", path=str(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()} if with_tensors else {}  # noqa: SIM118
    except SafetensorError as error:
        if "ncomplete" in str(error) or "InvalidOffset" in str(error):
            raise ModelError(
                f"The model file {path.name} is truncated: weights are missing at its end.",
                GET_AGAIN,
                path=str(path),
            ) from error
        raise _no_model(path, "it is not in the safetensors format") from error
    except OSError as error:
        raise ModelError(
            f"The model file {path} can't be read: {error.strerror or error}.",
            "Check its permissions and the disk.",
            path=str(path),
        ) from error
    if CARD_KEY not in metadata:
        raise _no_model(path, "it has no model card")
    return metadata, tensors


def _no_model(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path.name} is no model of SITS for QGIS: {reason}.",
        "Choose a .safetensors file made by 'Train source model'.",
        path=str(path),
    )


def _parse_card(path: Path, metadata: Mapping[str, str]) -> ModelCard:
    """The card, checked: checksum, format, fields, and that bands and classes fit the network."""
    text = metadata[CARD_KEY]
    try:
        raw = json.loads(text)
        format_name = raw.get("format") if isinstance(raw, dict) else None
        if isinstance(format_name, str) and format_name not in (FORMAT, FORMAT_WITH_FAST):
            raise ModelError(
                f"{path.name} has the model format '{format_name}'; this engine reads '{FORMAT}' and "
                f"'{FORMAT_WITH_FAST}'.",
                "Update SITS for QGIS, or choose another model.",
                path=str(path),
            )
        card = ModelCard.model_validate(raw)
    except (ValueError, ValidationError) as error:
        raise ModelError(
            f"The model card in {path.name} can't be read: {_first_line(error)}.", GET_AGAIN, path=str(path)
        ) from error
    if hashlib.sha256(text.encode()).hexdigest() != metadata.get(CARD_SHA_KEY):
        raise ModelError(
            f"The model card in {path.name} doesn't match its checksum: the file was changed.",
            GET_AGAIN,
            path=str(path),
        )
    networks = [card.hyperparameters, *([card.fast.hyperparameters] if card.fast else [])]
    for key, count, what in (
        ("n_bands", len(card.bands), "bands"),
        ("n_classes", len(card.classes), "classes"),
    ):
        wrong = next((own[key] for own in networks if own.get(key, count) != count), None)
        if wrong is not None:
            raise ModelError(
                f"The model card in {path.name} names {count} {what}, its network has {wrong}.",
                GET_AGAIN,
                path=str(path),
            )
    return card


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc']) or 'card'}: {first['msg']}"
    return str(error).splitlines()[0]
