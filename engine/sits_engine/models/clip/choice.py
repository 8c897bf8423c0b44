"""Which CLIP model goes with a satellite model: the one it was trained with, wherever that lies now."""

from __future__ import annotations

from pathlib import Path

from sits_engine.device import Device
from sits_engine.errors import InputError, ModelError
from sits_engine.models.card import ModelCard
from sits_engine.models.clip.encoder import ClipEncoder


def clip_of(card: ModelCard, folder: Path | None, device: Device) -> ClipEncoder:
    """The CLIP model whose space a satellite model maps to.

    Without a folder it is looked for where it lay in training, then in the models folder.

    Args:
        card: of the satellite model; `provenance["clip"]` says name, fingerprint and path.
        folder: the user's choice, None to look for it.
        device: where it is to run.

    Raises:
        ModelError: the model knows no CLIP model, or another one was found.
        InputError: none was found, or the folder is no CLIP model.
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
    trained_with = Path(str(facts.get("path") or ""))
    if facts.get("path") and trained_with.is_dir():
        try:
            found = ClipEncoder.open(trained_with, device)
        except InputError:  # something else lies there by now
            pass
        else:
            if found.fingerprint == wanted:
                return found
    from sits_engine.models.clip.fetch import default_clip

    kept = default_clip()
    if kept is None:
        raise InputError(
            f"The CLIP model '{name}' that the model was trained with is not at {trained_with}, and none is "
            "in the models folder.",
            "Choose its folder (CLIP), or fetch it with 'Fetch CLIP model'.",
        )
    found = ClipEncoder.open(kept, device)
    if found.fingerprint != wanted:
        raise _other(name, wanted, found)
    return found


def _other(name: str, wanted: str, found: ClipEncoder) -> ModelError:
    return ModelError(
        f"The CLIP model in {found.folder.path} is not the one that the satellite model was trained with "
        f"('{name}', fingerprint {wanted[:12]}; here {found.fingerprint[:12]}): words and pixels would lie "
        "in different spaces.",
        f"Choose the folder of '{name}' (CLIP), or train a satellite model with this one.",
        wanted=wanted,
        found=found.fingerprint,
    )
