"""Which CLIP model goes with a satellite model: the one it was trained with, wherever that lies now."""

from __future__ import annotations

from pathlib import Path

from sits_engine.device import Device
from sits_engine.errors import InputError, ModelError
from sits_engine.models.card import ModelCard
from sits_engine.models.clip.encoder import ClipEncoder
from sits_engine.models.clip.fetch import models_folder


def clip_of(card: ModelCard, folder: Path | None, device: Device) -> ClipEncoder:
    """The CLIP model whose space a satellite model maps to.

    Without a folder it is looked for where it lay in training, then in the models folder.

    Args:
        card: of the satellite model; `provenance["clip"]` says name, fingerprint and path.
        folder: the user's choice, None to look for it.
        device: where it is to run.

    Raises:
        ModelError: the model knows no CLIP model, or the folder holds another one.
        InputError: it was not found, or the folder is no CLIP model.
    """
    facts = card.provenance.get("clip")
    if not isinstance(facts, dict) or not facts.get("fingerprint"):
        raise ModelError(
            f"The model is of the kind '{card.architecture}' and doesn't say which CLIP model it belongs to: "
            "it knows neither words nor photos.",
            "Choose a model made by 'Train photo model'.",
        )
    name, wanted = str(facts.get("name") or "unnamed"), str(facts["fingerprint"])
    if folder is not None:
        found = ClipEncoder.open(folder, device)
        if found.fingerprint != wanted:
            raise _other(name, wanted, found)
        return found
    trained_with = Path(str(facts.get("path") or name))
    for place in (trained_with, *_kept(name)):
        same = _opened(place, device)
        if same is not None and same.fingerprint == wanted:
            return same
    raise InputError(
        f"The CLIP model '{name}' that the satellite model was trained with was not found: neither at "
        f"{trained_with} nor in the models folder {models_folder()}.",
        "Choose its folder (CLIP), or fetch it with 'Fetch CLIP model'.",
        wanted=wanted,
    )


def _kept(name: str) -> list[Path]:
    """Folders of models in the models folder, those of this name first: hashing large ones takes a while."""
    found = sorted(path.parent for path in models_folder().glob("*/config.json"))
    whole = [path for path in found if not path.name.startswith(".")]  # others are being fetched
    return sorted(whole, key=lambda path: path.name != name)


def _opened(folder: Path, device: Device) -> ClipEncoder | None:
    """The model in a folder, None where there is none (any more)."""
    try:
        return ClipEncoder.open(folder, device)
    except (InputError, OSError):
        return None


def _other(name: str, wanted: str, found: ClipEncoder) -> ModelError:
    return ModelError(
        f"The CLIP model in {found.folder.path} is not the one that the satellite model was trained with "
        f"('{name}', fingerprint {wanted[:12]}; here {found.fingerprint[:12]}): words and pixels would lie "
        "in different spaces.",
        f"Choose the folder of '{name}' (CLIP), or train a satellite model with this one.",
        wanted=wanted,
        found=found.fingerprint,
    )
