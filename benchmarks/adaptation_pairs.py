"""The table of adaptation on pairs of regions: all methods, several seeds, between the two bounds.

    PYTHONPATH=engine python benchmarks/adaptation_pairs.py --out build/adaptation [--pairs ...] [--seeds 3]

Real pairs need `shared/data` (pairs.py). The simulated pair is made by `sits demo` and read here once. Each
seed has its own spatial split, source model and adaptations; the scores are of the target's held-out blocks.
Labels of the target are used for these scores and for the bound 'trained on target', for nothing else.
Finished methods are kept in --out as JSON, a file a pair and seed: a later run adds what is missing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import fields, replace
from pathlib import Path

import sits_engine  # noqa: F401  (before torch: sets how its threads wait)
import torch
from demo_region import demo_series
from pairs import PAIRS, Pair
from sits_engine import device as devices
from sits_engine.context import JobContext
from sits_engine.learning.adaptation.compare import compare
from sits_engine.learning.adaptation.options import METHODS, AdaptOptions
from sits_engine.learning.adaptation.summary import ComparisonReportData, ComparisonRow
from sits_engine.learning.run import RunOptions
from sits_engine.report.comparison import write_comparison_report, write_comparison_table

SIMULATED = {"demo-a-b": ("a", "b"), "demo-b-a": ("b", "a")}
#: Pixels kept of a parcel of the simulated pair, and drawn of it in a step: the published 64 take four times
#: as long.
SIMULATED_PIXELS = 16


def simulated(name: str, folder: Path) -> Pair:
    """Parcels of both regions of the default demo, read from its images once."""
    from sits_engine.samples.gather import Sources, gather
    from sits_engine.samples.parcels import ParcelOptions

    sides = []
    for region in SIMULATED[name]:
        series = demo_series(folder, region)
        layer = str(folder / f"region_{region}" / "parcels.gpkg")
        options = ParcelOptions(min_pixels=1, max_pixels=SIMULATED_PIXELS)
        sources = Sources([series], [layer], "crop", options)
        sides.append(gather(sources, store=folder / f"{region}.zarr").sets)
    return Pair(f"Demo region {name[-3].upper()} to {name[-1].upper()}", *sides)


def run_seed(
    name: str, pair: Pair, seed: int, methods: list[str], chosen: argparse.Namespace
) -> ComparisonReportData:
    """Methods on one pair with one seed."""
    drawn = SIMULATED_PIXELS if name in SIMULATED else None
    return compare(
        pair.source,
        pair.target,
        methods,
        [seed],
        train=RunOptions(effort=chosen.effort, width=chosen.width, pixels_per_set=drawn),
        options=AdaptOptions(pixels_per_set=drawn),
        titles=tuple(pair.name.split(" to ")),
        device=devices.select("auto"),
        ctx=JobContext(lambda kind, fields: print(fields, flush=True) if kind == "log" else None),
    )


def restored(row: dict) -> ComparisonRow:
    """A row from JSON, which has no NaN."""
    return ComparisonRow(**{**row, "seconds": float("nan") if row["seconds"] is None else row["seconds"]})


def merged(parts: list[dict]) -> ComparisonReportData:
    """One comparison from those of single seeds; the numbers of test samples are sums."""
    names = {field.name for field in fields(ComparisonReportData)}
    data = ComparisonReportData(**{key: value for key, value in parts[0].items() if key in names})
    rows = [restored(row) for part in parts for row in part["rows"]]
    order = ["source", *METHODS, "target"]
    support = [sum(column) for column in zip(*(part["support"] for part in parts), strict=True)]
    return replace(data, rows=sorted(rows, key=lambda r: (order.index(r.method), r.seed)), support=support)


def lines(name: str, summary: list[dict]) -> list[str]:
    """A Markdown table of one pair."""
    out = [
        f"#### {name}",
        "",
        "| method | seeds | accuracy | macro-F1 | shift (days) | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in summary:
        shift = "" if row["shift"] is None else f"{row['shift']:+.0f}"
        seconds = "" if row["seconds"] != row["seconds"] else f"{row['seconds']:.0f}"
        out.append(
            f"| {row['method']} | {row['seeds']} | {row['accuracy']:.3f} ± {row['accuracy_std']:.3f} | "
            f"{row['macro_f1']:.3f} ± {row['macro_f1_std']:.3f} | {shift} | {seconds} |"
        )
    return [*out, ""]


def main() -> None:
    """Run what is asked for, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/adaptation"))
    parser.add_argument("--pairs", nargs="+", default=[*PAIRS, *SIMULATED], choices=[*PAIRS, *SIMULATED])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", default="standard", choices=("standard", "small"))
    parser.add_argument("--effort", default="standard", choices=("quick", "standard", "thorough"))
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: all")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for name in options.pairs:
            kept = options.out / f"{name}_{seed}.json"
            old = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {"rows": []}
            have = {row["method"] for row in old["rows"]}
            missing = [method for method in options.methods if method not in have]
            if not missing:
                continue
            began = time.process_time()
            pair = simulated(name, options.out / "demo") if name in SIMULATED else PAIRS[name]()
            data = run_seed(name, pair, seed, missing, options)
            data.rows = [
                *(restored(row) for row in old["rows"]),
                *(row for row in data.rows if row.method not in have),
            ]
            spent = time.process_time() - began + old.get("processor_seconds", 0.0)
            found = {"name": pair.name, "processor_seconds": spent, **data.as_json()}
            kept.write_text(json.dumps(found), encoding="utf-8")
    for name in options.pairs:
        files = sorted(options.out.glob(f"{name}_[0-9]*.json"))
        parts = [json.loads(path.read_text(encoding="utf-8")) for path in files]
        data = merged(parts)
        write_comparison_report(options.out / f"{name}.html", data)
        write_comparison_table(options.out / f"{name}.csv", data)
        minutes = sum(part["processor_seconds"] for part in parts) / 60
        print("\n".join(lines(parts[0]["name"], data.summary())), flush=True)
        print(f"processor time: {minutes:.0f} min\n", flush=True)


if __name__ == "__main__":
    main()
