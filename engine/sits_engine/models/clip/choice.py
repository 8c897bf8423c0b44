"""Which CLIP model goes with a satellite model: the one it was trained with, wherever that lies now."""

from __future__ import annotations

from pathlib import Path

from sits_engine.device import Device
from sits_engine.errors import InputError, ModelError
from sits_engine.models.card import ModelCard
from sits_engine.models.clip.encoder import ClipEncoder
from sits_engine.models.clip.fetch import models_folder
from sits_engine.models.clip.folder import damaged


def clip_of(card: ModelCard, folder: Path | None, device: Device) -> ClipEncoder:
    """The CLIP model whose space a satellite model maps to.

    Without a folder it is looked for where it lay in training, then in the models folder.

    Args:
        card: of the satellite model; `provenance["clip"]` says name, fingerprint and path.
        folder: the user's choice, None to look for it.
        device: where it is to run.

    Raises:
        ModelError: the model knows no CLIP model, or the folder holds another one.
        InputError: it was not found, what is there is incomplete, damaged or another one (it says which), or
            the folder is no CLIP model.
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
    unusable = []
    for place in (trained_with, *_kept(name)):
        opened = _opened(place, device)
        if isinstance(opened, ClipEncoder) and opened.fingerprint == wanted:
            return opened
        if place in (trained_with, models_folder() / name) and place.is_dir():
            unusable.append(f"{place} is there, but {_why_not(opened, place, wanted)}.")
    if unusable:
        if not trained_with.is_dir():
            unusable.insert(0, f"{trained_with} is not there any more.")
        raise InputError(
            f"The CLIP model '{name}' that the satellite model was trained with can't be used: "
            f"{' '.join(dict.fromkeys(unusable))}",
            "Copy or fetch it again ('Fetch CLIP model'), or choose the folder of a whole copy (CLIP).",
            wanted=wanted,
        )
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


def _opened(folder: Path, device: Device) -> ClipEncoder | InputError | OSError:
    """The model in a folder, or why there is none (any more)."""
    try:
        return ClipEncoder.open(folder, device)
    except (InputError, OSError) as error:
        return error


def _why_not(found: ClipEncoder | InputError | OSError, place: Path, wanted: str) -> str:
    """What is the matter with a folder that is there."""
    if isinstance(found, InputError):
        said = found.message.removesuffix(".")
        return said.removeprefix(f"The CLIP model in {place} ").removeprefix(f"The model in {place} ")
    if isinstance(found, OSError):
        return f"can't be read ({found.strerror or found})"
    broken = damaged(found.folder)
    if broken is not None:
        return f"its weights are damaged or cut short ({broken.name})"
    return (
        f"holds another model, or one of its files was changed (fingerprint {found.fingerprint[:12]} instead "
        f"of {wanted[:12]})"
    )


def _other(name: str, wanted: str, found: ClipEncoder) -> ModelError:
    return ModelError(
        f"The CLIP model in {found.folder.path} is not the one that the satellite model was trained with "
        f"('{name}', fingerprint {wanted[:12]}; here {found.fingerprint[:12]}): words and pixels would lie "
        "in different spaces.",
        f"Choose the folder of '{name}' (CLIP), or train a satellite model with this one.",
        wanted=wanted,
        found=found.fingerprint,
    )
