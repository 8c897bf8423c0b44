"""What the fast network loses against the model that it was distilled from, on simulated and real data.

    PYTHONPATH=engine python benchmarks/fast.py --out build/fast [--data demo canada ...] [--seeds 3]

Each seed trains a model of its own (`train` with FAST, everything else as by default) and compares both
networks on the single pixels of the test side (at most 16 of each parcel). Nothing was chosen on the test
side: widths and settings were tried on the validation side of the first seed. Real data need `shared/data`
(pairs.py). Speed: `mapping.py --width fast` and `table.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import sits_engine  # noqa: F401  (before torch: sets how its threads wait)
import torch
from adaptation_pairs import SIMULATED_PIXELS, simulated
from pairs import ROOT, canada_france, cawa, mato_grosso
from sits_engine import device as devices
from sits_engine.context import JobContext
from sits_engine.learning.run import RunOptions, card_of, train
from sits_engine.learning.summary import FastScores
from sits_engine.models.model_file import save_model
from sits_engine.samples.pixel_sets import PixelSets
from sits_engine.samples.tables import TableOptions, read_labelled_series


def freising() -> PixelSets:
    """Means of parcels near Freising, 2018."""
    folder = ROOT / "bavaria_freising_2018"
    options = TableOptions("common_class", str(folder / "parcels.gpkg"), "parcel_id", None, 1e-4)
    return read_labelled_series(folder / "s2_l1c_parcel_means.csv.gz", options)[0]


DATA: dict[str, Callable[[Path], PixelSets]] = {
    "demo": lambda out: simulated("demo-a-b", out / "demo").source,
    "canada": lambda out: canada_france().source,
    "france": lambda out: canada_france().target,
    "kashkadarya": lambda out: cawa()[0].source,
    "mato-grosso": lambda out: mato_grosso().source,
    "freising": lambda out: freising(),
}


def measured(name: str, seed: int, out: Path) -> FastScores:
    """The comparison of one run; a finished one is read from `out`."""
    kept = out / f"{name}_{seed}.json"
    if kept.exists():
        return FastScores(**json.loads(kept.read_text(encoding="utf-8")))
    options = RunOptions(
        seed=seed,
        fast=True,
        # the parcels of Freising fill one block
        split="parcels" if name == "freising" else "blocks",
        pixels_per_set=SIMULATED_PIXELS if name == "demo" else None,
    )
    began = time.process_time()
    result = train(DATA[name](out), options, devices.select("cpu"), JobContext(), start=0, end=1)
    if result.fast is None:
        raise RuntimeError("no fast network was made")
    save_model(
        out / f"{name}_{seed}.safetensors",
        result.module,
        card_of(result, options),
        (result.fast.module, result.fast.card),
    )
    print(f"{name}, seed {seed}: {time.process_time() - began:.0f} processor seconds", flush=True)
    kept.write_text(json.dumps(asdict(result.fast.scores)), encoding="utf-8")
    return result.fast.scores


def line(name: str, found: list[FastScores]) -> str:
    """A row of the table: means over the seeds, differences in points with their spread."""
    known = [one for one in found if one.macro_f1 is not None and one.teacher_macro_f1 is not None]
    teacher, fast = ([getattr(one, key) for one in known] for key in ("teacher_macro_f1", "macro_f1"))
    apart = 100 * (np.array(fast) - np.array(teacher))
    agreement = np.mean([one.agreement for one in known])
    pixels = sum(one.pixels for one in known)
    return (
        f"| {name} | {len(known)} | {pixels} | {np.mean(teacher):.3f} | {np.mean(fast):.3f} | "
        f"{apart.mean():+.2f} ({', '.join(f'{a:+.2f}' for a in apart)}) | {agreement:.3f} |"
    )


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/fast"))
    parser.add_argument("--data", nargs="+", default=[*DATA], choices=[*DATA])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: all")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.data:
        rows.append(line(name, [measured(name, seed, options.out) for seed in range(1, options.seeds + 1)]))
    print("| data | seeds | test pixels | macro-F1 of the model | of the fast network | points | agreement |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
