"""`make bench`: one table of all goals of speed, measured in one run on the machine at hand.

    python benchmarks/table.py [--quick] [--only GROUP ...] [--device cuda] [--json FILE] [--folder DIR]

Every line compares ours with a baseline that runs on the same data in the same process, in turn, with the
batch and threads that suit it best; a ratio is the median over the rounds. The share of the roofline is
that of the ceiling measured right after each group (`roofline.py`). A group that fails is named below the
table and makes the exit status 1; a goal that is missed does not. About 10 minutes on two processors, with
--quick a third; run it on a quiet machine. CXX=none measures what a machine without a C++ compiler gets.

With --device cuda: the networks alone on the card (`table_card.py`), with float32, mixed precision and
compiled, and the share of the time that the card waits for input.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]

from run import machine  # noqa: E402
from sits_engine.device import select, threads  # noqa: E402
from table_card import CARD  # noqa: E402
from table_rows import GROUPS, Row, Settings, restored  # noqa: E402


def number(value: float) -> str:
    """A rate with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(rows: Sequence[Row]) -> list[str]:
    """The table."""
    lines = [
        "| work | unit | baseline | ours | ratio (processor) | goal | roofline (processor) | goal | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for row in rows:
        if row.against not in notes:
            notes.append(row.against)
        processor = "" if row.processor is None else f" ({row.processor:.2f})"
        share = "" if row.share is None else f"{100 * row.share:.0f} %"
        if row.share_of_processor is not None:
            share += f" ({100 * row.share_of_processor:.0f})"
        share_goal = "" if row.share_goal is None else f"{100 * row.share_goal:.0f} %"
        met = {None: "", True: "yes", False: "**no**"}[row.met]
        lines.append(
            f"| {row.work} | {row.unit} | {number(row.baseline)} [{notes.index(row.against) + 1}] "
            f"| {number(row.ours)} | {row.ratio:.2f}{processor} | {row.goal or ''} "
            f"| {share} | {share_goal} | {met} |"
        )
    return [*lines, "", *(f"[{place}] {note}" for place, note in enumerate(notes, start=1))]


def measured(
    groups: Mapping[str, Callable[[Settings], list[Row]]], settings: Settings
) -> tuple[list[Row], list[str]]:
    """Rows of the groups, and sentences on those that failed."""
    rows: list[Row] = []
    failed: list[str] = []
    for name, group in groups.items():
        began = time.monotonic()
        try:
            # Benchmarks that are used here print tables of their own.
            with redirect_stdout(sys.stderr):
                rows += group(settings)
        except Exception as error:
            traceback.print_exc()
            failed.append(f"{name}: {type(error).__name__}: {error}")
        restored()
        print(f"({name}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return rows, failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller images")
    parser.add_argument("--only", nargs="+", choices=[*GROUPS, *CARD], help="some groups only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=threads())
    parser.add_argument("--json", type=Path, help="writes the figures")
    parser.add_argument("--folder", type=Path, help="keeps the images for the next run")
    options = parser.parse_args(arguments)
    device = select(options.device)
    groups = GROUPS if device.is_cpu else CARD
    chosen = {name: group for name, group in groups.items() if options.only is None or name in options.only}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sits-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rounds, size = (3, 512) if options.quick else (5, 768)
        about = f"{datetime.date.today()}, {machine()}; rounds: {rounds}, images of {size} pixels a side"
        print(about, file=sys.stderr, flush=True)
        rows, failed = measured(chosen, Settings(rounds, options.threads, size, folder, device))
    about += f", {(time.monotonic() - began) / 60:.0f} minutes"
    print("\n".join([f"{about}.", "", *markdown(rows), *(f"FAILED {sentence}" for sentence in failed)]))
    if options.json:
        figures: dict[str, Any] = {
            "about": about,
            "rows": [row.as_json() for row in rows],
            "failed": failed,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
