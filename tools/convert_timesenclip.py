"""Makes a model file out of the published TimeSenCLIP satellite encoder.

    python tools/convert_timesenclip.py TimeSenCLIP_1x1.ckpt encoder.safetensors --clip clip-vit-base-patch32

Reads both names of the encoder in a Lightning checkpoint (`learner.ts_encoder.`, older `learner.TS_ViT.`) and
of its token (`time_token`, older `class_token`). Sizes are taken from the weights; heads, band order and the
constants of the bands are the published ones (release order B02 B03 B04 ..., shared/spec/timesenclip.md
sections 2 and 3). Older releases mixed band orders: try --swap-blue-red on a labelled sample before you trust
the weights.

With --clip the model file says which CLIP model it goes with, so that maps and searches accept it. The
published one is openai/clip-vit-base-patch32.

Checkpoints are pickles, which neither plugin nor engine ever read: this tool stays in the repository and
accepts tensors and plain data only (`plain_tensors`). Look at the licence of the weights before you pass them
on.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from pathlib import Path
from typing import Any

import plain_tensors

#: Where the encoder stands in a checkpoint; '' is the encoder alone.
PREFIXES = ("learner.ts_encoder.", "learner.TS_ViT.", "ts_encoder.", "TS_ViT.", "")
#: Old names of parameters.
RENAMED = {"class_token": "time_token"}
#: Names of the learned scale beside the encoder; it is a logarithm.
SCALES = ("learner.logit_scale", "learner.contrastive_loss.logit_scale", "logit_scale")
#: Release order.
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
HEADS = 8
#: What every encoder has.
SIGN = "spectral_embedding.1.weight"


def encoder_of(path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Weights of the encoder under the names that this engine has.

    Raises:
        SystemExit: there is none.
    """
    prefix = next((one for one in PREFIXES if one + SIGN in state), None)
    if prefix is None:
        shown = ", ".join(list(state)[:4])
        raise SystemExit(f"{path} holds no TimeSenCLIP satellite encoder. Its first parameters: {shown}.")
    names = ("spectral_embedding.", "time_", "class_token", "transformer.", "mlp_head.")
    found = {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix) and name.removeprefix(prefix).startswith(names)
    }
    return {RENAMED.get(name, name): value for name, value in found.items()}


def scale_of(state: dict[str, Any]) -> Any:
    """The learned scale (a tensor), or None."""
    named = (state[name] for name in SCALES if name in state)
    other = (value for name, value in state.items() if name.endswith("logit_scale") and value.numel() == 1)
    return next(named, next(other, None))


def sizes_of(state: dict[str, Any], heads: int) -> dict[str, Any]:
    """Hyperparameters from the shapes of the weights; SystemExit where they make no sense."""
    dim, inputs = state[SIGN].shape
    context = math.isqrt(inputs // len(BANDS))
    if context**2 * len(BANDS) != inputs or context % 2 == 0:
        raise SystemExit(
            f"The encoder takes {inputs} numbers a date; {len(BANDS)} bands of 1 x 1, 3 x 3, 5 x 5 or 9 x 9 "
            "pixels were expected."
        )
    if dim % heads:
        raise SystemExit(f"{heads} attention heads don't divide {dim} channels: give --heads.")
    last = max(int(name.split(".")[1]) for name in state if name.startswith("mlp_head.") and "weight" in name)
    return {
        "n_bands": len(BANDS),
        "embedding": int(state[f"mlp_head.{last}.weight"].shape[0]),
        "context": context,
        "dim": int(dim),
        "depth": len({name.split(".")[2] for name in state if name.startswith("transformer.layers.")}),
        "heads": heads,
        "feedforward": int(state["transformer.layers.0.linear1.weight"].shape[0]),
        "dropout": 0.2,
    }


def convert(
    source: Path,
    target: Path,
    *,
    clip: Path | None = None,
    activation: str = "relu",
    heads: int = HEADS,
    swap_blue_red: bool = False,
    reference: bool = False,
) -> Any:
    """Write a published encoder as a model file; returns its card.

    Args:
        source: `*.ckpt`, a Lightning checkpoint or a bare state dict.
        target: `.safetensors`.
        clip: folder of the CLIP model that it goes with.
        activation: 'relu' as released; the paper says 'gelu'.
        heads: of the attention; the weights don't tell.
        swap_blue_red: the first and third channel are B04 and B02.
        reference: one step a year gets January's position, as released.

    Raises:
        SystemExit: refused, or no such encoder.
    """
    from sits_engine.device import select
    from sits_engine.learning.timesenclip.batches import published_normalisation
    from sits_engine.learning.timesenclip.run import MONTH_CONVENTION
    from sits_engine.models.card import ModelCard
    from sits_engine.models.clip import ClipEncoder
    from sits_engine.models.model_file import save_model
    from sits_engine.models.registry import build

    stored = plain_tensors.load(source)
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        # other entries of a checkpoint are of no interest
        stored = stored["state_dict"]
    state = plain_tensors.state_dict(stored, ())
    if state is None:
        raise SystemExit(f"{source} is no checkpoint: it holds no 'state_dict' of tensors.")
    weights = encoder_of(source, state)
    try:
        hyperparameters = sizes_of(weights, heads)
        hyperparameters |= {"activation": activation, "head": "linear", "reference": reference}
        module = build("timesenclip", hyperparameters)
        scale = scale_of(state)
        weights["logit_scale"] = module.logit_scale.detach() if scale is None else scale.float().reshape(())
        module.load_state_dict({name: value.float() for name, value in weights.items()})
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise SystemExit(f"{source} is no TimeSenCLIP encoder of the released form: {error}") from error
    bands = [BANDS[i] for i in (2, 1, 0, *range(3, len(BANDS)))] if swap_blue_red else list(BANDS)
    provenance: dict[str, Any] = {
        "imported_from": "published TimeSenCLIP encoder",
        "file": source.name,
        "file_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "scale_learned": scale is not None,
    }
    if clip is not None:
        encoder = ClipEncoder.open(clip, select("cpu"))
        if encoder.dim != hyperparameters["embedding"]:
            raise SystemExit(
                f"The encoder makes vectors of {hyperparameters['embedding']} numbers, {clip} of "
                f"{encoder.dim}: it belongs to another CLIP model."
            )
        provenance["clip"] = {
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "dim": encoder.dim,
            "path": str(clip.resolve()),
        }
    card = ModelCard(
        architecture="timesenclip",
        hyperparameters=hyperparameters,
        bands=published_normalisation(bands),
        classes=[],
        season_year=2018,
        positions=[float(month) for month in range(12)],
        date_convention=MONTH_CONVENTION,
        provenance=provenance,
    )
    written = save_model(target, module, card)
    count = sum(value.numel() for name, value in module.named_parameters() if name != "logit_scale")
    print(
        f"{target}: {count:,} parameters, {hyperparameters['context']} x {hyperparameters['context']} pixels."
    )
    if clip is None:
        print("It doesn't say which CLIP model it goes with: maps and searches refuse it. Give --clip.")
    return written


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("source", type=Path, help="published checkpoint (.ckpt)")
    made.add_argument("target", type=Path, help="model to write (.safetensors)")
    made.add_argument("--clip", type=Path, help="folder of the CLIP model that it was trained with")
    made.add_argument("--activation", choices=("relu", "gelu"), default="relu", help="of the transformer")
    made.add_argument("--heads", type=int, default=HEADS, help="attention heads (published: 8)")
    made.add_argument("--swap-blue-red", action="store_true", help="channels are B04 B03 B02 ...")
    made.add_argument("--reference", action="store_true", help="January's position for one step, as released")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    given = parser().parse_args(arguments)
    if given.heads < 1:
        raise SystemExit("--heads must be at least 1.")
    if given.target.suffix != ".safetensors":
        raise SystemExit(f"{given.target} must end with .safetensors.")
    from sits_engine.errors import EngineError

    try:
        convert(
            given.source,
            given.target,
            clip=given.clip,
            activation=given.activation,
            heads=given.heads,
            swap_blue_red=given.swap_blue_red,
            reference=given.reference,
        )
    except EngineError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    main()
