"""Time and memory of a map at 1, 4 and 16 times the area: time grows in proportion, memory not at all.

    python benchmarks/area.py [--sides 768 1536 3072] [--rounds 3] [--width fast] [--dates 24]
                              [--plot docs/images/area.png] [--json FILE] [--folder DIR]

In each round a process of its own maps each area, files to file, after a tiny map that starts libraries
and compilers (its seconds are told apart). Time is by the clock and in seconds of the processors, which
other programs disturb less; memory is the peak of the process (VmHWM). Figures are medians over the
rounds. The exit status is 1 if a pixel takes 10 % more or less processor time at the largest than at the
smallest area, or the peak grows by 10 % or reaches 1 GiB. The images take 3.6 GB of disk. Sides are
multiples of 256: the blocks of the files are read as a whole.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]

from images import make_series  # noqa: E402
from mapping import MAX_MIB, in_a_process, make_model  # noqa: E402

#: How far time a pixel and peak memory may be from those of the smallest area.
ALLOWED = 0.1
Figures = dict[str, float]


def measure(folder: Path, sides: Sequence[int], rounds: int, width: str, dates: int) -> list[Figures]:
    """Medians for each side (pixels): seconds, processor seconds, MiB."""
    series, model = make_series(folder, max(sides), dates), make_model(folder, width)
    found: dict[int, list[Figures]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(in_a_process(series, model, folder / "area.tif", side))
            print(f"{side}: {found[side][-1]}", file=sys.stderr, flush=True)
    return [
        {"side": side, **{key: statistics.median(run[key] for run in runs) for key in runs[0]}}
        for side, runs in found.items()
    ]


def wrong(rows: Sequence[Figures]) -> list[str]:
    """What doesn't hold, in sentences."""
    first, last = rows[0], rows[-1]
    area = (last["side"] / first["side"]) ** 2
    longer = last["processor"] / first["processor"] / area - 1
    larger = last["mib"] / first["mib"] - 1
    found = []
    if abs(longer) > ALLOWED:
        found.append(f"a pixel of the largest area takes {100 * longer:+.0f} % processor time")
    if larger > ALLOWED or last["mib"] >= MAX_MIB:
        found.append(f"memory is {last['mib']:,.0f} MiB, {100 * larger:+.0f} %, at the largest area")
    return found


def markdown(rows: Sequence[Figures]) -> list[str]:
    """The table; seconds of a megapixel show whether time is in proportion."""
    lines = [
        "| pixels a side | times the area | seconds | of processors | a megapixel, of processors | MiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        million = row["side"] ** 2 / 1e6
        lines.append(
            f"| {row['side']:.0f} | {(row['side'] / rows[0]['side']) ** 2:.0f} | {row['seconds']:.1f} "
            f"| {row['processor']:.1f} | {row['processor'] / million:.2f} | {row['mib']:,.0f} |"
        )
    return lines


def plot(rows: Sequence[Figures], path: Path) -> None:
    """Time beside what proportion would give, and memory beside the limit."""
    import matplotlib
    from matplotlib.figure import Figure
    from sits_engine.report.plots.style import ACCENT, BLUE, ORANGE, RC, SOFT

    areas = [row["side"] ** 2 / 1e6 for row in rows]
    with matplotlib.rc_context({**RC, "figure.facecolor": "white", "savefig.facecolor": "white"}):
        figure = Figure(figsize=(8.4, 3.3), layout="constrained")
        time, memory = figure.subplots(1, 2)
        even = [rows[0]["processor"] * area / areas[0] for area in areas]
        time.plot(areas, even, color=SOFT, linestyle="--", label="in proportion to the smallest")
        time.plot(areas, [row["processor"] for row in rows], "o-", color=ACCENT, label="processors")
        time.plot(areas, [row["seconds"] for row in rows], "s-", color=BLUE, label="by the clock")
        time.set(title="Time of a map, seconds", xlabel="megapixels", xlim=0, ylim=0)
        memory.plot(areas, [row["mib"] for row in rows], "o-", color=ACCENT, label="peak of the process")
        memory.axhline(MAX_MIB, color=ORANGE, linestyle="--", label="limit")
        memory.set(title="Memory, MiB", xlabel="megapixels", xlim=0, ylim=(0, 1.25 * MAX_MIB))
        for axes in (time, memory):
            axes.grid(axis="y")
            axes.legend(fontsize=9)
        figure.savefig(path, dpi=130)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[768, 1536, 3072])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", choices=("standard", "small", "fast"), default="fast")
    parser.add_argument("--dates", type=int, default=24)
    parser.add_argument("--plot", type=Path, help="PNG")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="keeps the images for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sits-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(folder, sorted(options.sides), options.rounds, options.width, options.dates)
    print("\n".join(markdown(rows)))
    print(f"\nStart of libraries and compilers: {statistics.median(row['start'] for row in rows):.1f} s.")
    if options.plot:
        plot(rows, options.plot)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    faults = wrong(rows)
    for sentence in faults:
        print(f"MISSED: {sentence}", file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
