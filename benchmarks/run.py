"""Every benchmark, one after the other, on an otherwise quiet machine; `make bench` is table.py alone.

    python benchmarks/run.py [table] [area] [country] [network] [mapping] [memory] [parcels] [adaptation]
                             [segmentation] [photo_encoder] [photo_search] [-- options for them]

The first three are what the documents show: `run.py table area country` writes docs/images/area.png, the
table of docs/country.md, and build/bench.json and area.json.
Each prints a table of its own; baselines run in the same process on the same data, interleaved with what
they are compared to, so that ratios hold even where the machine is noisy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Name -> script and its options. Memory: four times the area, so that it takes minutes; by itself,
#: `mapping.py --memory` compares sixteen times.
SCRIPTS = {
    "table": ["table.py", "--json", "build/bench.json"],
    "area": ["area.py", "--plot", "docs/images/area.png", "--json", "build/area.json"],
    "country": ["country.py", "--table", "build/bench.json", "--write", "docs/country.md"],
    "network": ["network.py"],
    "mapping": ["mapping.py"],
    "memory": ["mapping.py", "--memory", "--large", "1536"],
    "parcels": ["parcels.py"],
    "adaptation": ["adaptation_speed.py"],
    "segmentation": ["segmentation_speed.py"],
    "photo_encoder": ["photo_encoder.py"],
    "photo_search": ["photo_search.py"],
}
#: A benchmark that takes longer (seconds) has failed.
LONGEST = 3600


def machine() -> str:
    """One paragraph that says where the figures come from."""
    import torch
    from sits_engine import device

    memory = next(entry["memory_gib"] for entry in device.available() if entry["device"] == "cpu")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{device.cpu_name()}, {device.threads()} threads, {memory} GiB; load {load:.1f} at the start; "
        f"torch {torch.__version__}, devices: "
        + ", ".join(str(entry["name"]) for entry in device.available())
    )


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all; the number of those that failed."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    wanted, options = arguments[:split] or list(SCRIPTS), arguments[split + 1 :]
    unknown = [name for name in wanted if name not in SCRIPTS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(SCRIPTS)}.", file=sys.stderr)
        return 2
    print(machine(), flush=True)
    env = {**os.environ, "PYTHONPATH": str(HERE.parent / "engine")}
    failed = 0
    for name in wanted:
        print(f"\n======== {name} ========", flush=True)
        started = time.monotonic()
        script, *own = SCRIPTS[name]
        command = [sys.executable, str(HERE / script), *own, *options]
        try:
            status = subprocess.run(
                command, env=env, cwd=HERE.parent, check=False, timeout=LONGEST
            ).returncode
        except subprocess.TimeoutExpired:
            status = 124
        failed += status != 0
        print(f"({name}: {time.monotonic() - started:.0f} s{', failed' if status else ''})", flush=True)
    return failed


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent / "engine"))
    sys.exit(main(sys.argv[1:]))
