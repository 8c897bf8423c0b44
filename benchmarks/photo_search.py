"""Search among a million photo vectors: time, memory and agreement; exact against cells (IVF).

    python benchmarks/photo_search.py [--photos 1000000] [--cells 200000] [--dim 512]

Vectors are made up: clusters (places that look alike) with noise, unit length. The exact part is built,
saved, opened memory-mapped and searched, for one query, for 6 and for 40, whole and with a filter; beside it
the plain form (float32, `faiss.IndexFlatIP` in memory). The part on cells gives time and recall of the 10
best against exact.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import shapely
import sits_engine  # noqa: F401
from sits_engine.retrieval import index as settings
from sits_engine.retrieval.folder import open_index, save_index
from sits_engine.retrieval.index import BATCH, PhotoIndex, PhotoTable

CLIP = {"name": "made up", "fingerprint": "0" * 64}
#: Searches that are timed; the median counts.
TURNS = 7
#: Queries at once.
ASKED = (1, 6, 40)


def vectors(n: int, dim: int, clusters: int, seed: int) -> npt.NDArray[np.float32]:
    """(n, dim) unit vectors around as many centres; cosines of one cluster are about 0.5."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((clusters, dim), dtype=np.float32)
    out = np.empty((n, dim), np.float32)
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        part = centres[rng.integers(clusters, size=size)] + rng.standard_normal((size, dim), dtype=np.float32)
        out[start : start + size] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return out


def table(n: int) -> PhotoTable:
    """Photos all over Europe, one a day."""
    rng = np.random.default_rng(1)

    def texts(pattern: str) -> npt.NDArray[np.object_]:
        out = np.empty(n, dtype=object)
        out[:] = [pattern.format(i) for i in range(n)]
        return out

    return PhotoTable(
        paths=texts("/photos/lucas/2018/{:08d}N.jpg"),
        ids=texts("{:08d}"),
        directions=np.full(n, "N", dtype=object),
        taken=(17500 + np.arange(n) % 365).astype(np.int32),
        xy=np.column_stack([rng.uniform(-10, 30, n), rng.uniform(35, 70, n)]),
        hashes=texts("{:064x}"),
        sizes=np.zeros(n, np.int64),
        changed=np.zeros(n, np.int64),
    )


def timed(work: Callable[[], object]) -> float:
    """Median seconds of `TURNS` runs."""
    took = []
    for _ in range(TURNS):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return float(np.median(took))


def peak() -> float:
    """Most memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def resident() -> float:
    """Memory of this process that isn't mapped from files, GB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e6
    return float("nan")


def plain_form(
    made: npt.NDArray[np.float32], queries: npt.NDArray[np.float32]
) -> tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]], dict[int, float]]:
    """(cosines, rows) of the 10 best by float32 in memory, and its seconds by number of queries."""
    plain = faiss.IndexFlatIP(made.shape[1])
    plain.add(made)
    return plain.search(queries, 10), {q: timed(lambda q=q: plain.search(queries[:q], 10)) for q in ASKED}


def exact(n: int, dim: int, folder: Path) -> None:
    """The exact index of n photos."""
    made = vectors(n, dim, max(1, n // 50), 2)
    queries = vectors(40, dim, max(1, n // 50), 3)
    right, times = plain_form(made, queries)
    started = time.perf_counter()
    built = PhotoIndex.build(made, table(n), CLIP, "exact")
    build = time.perf_counter() - started
    del made
    started = time.perf_counter()
    save_index(built, folder / "exact")
    save = time.perf_counter() - started
    del built
    before = resident()
    started = time.perf_counter()
    opened = open_index(folder / "exact")
    first = opened.search(queries[:1], 10)
    cold = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (folder / "exact").iterdir()) / 1e9
    print(f"\nExact, {n:,} photos of {dim} numbers, {faiss.omp_get_max_threads()} threads")
    print(f"  built in {build:.1f} s, saved in {save:.1f} s, {size:.2f} GB on disk")
    beside = resident() - before
    print(f"  opened with a first answer after {cold:.2f} s; {beside:.2f} GB of memory beside the file")
    found = opened.search(queries, 10)
    same = np.mean(
        [len(set(a) & set(b)) / 10 for a, b in zip(found.rows.tolist(), right[1].tolist(), strict=True)]
    )
    off = np.abs(found.similarity - right[0]).max()
    print(f"  10 best: {100 * same:.1f} % those of float32; cosines differ by {off:.1e} at most")
    assert first.rows[0, 0] == found.rows[0, 0]
    print("  | queries | half precision, mapped (s) | float32 in memory (s) |")
    for q in ASKED:
        took = timed(lambda q=q: opened.search(queries[:q], 10))
        print(f"  | {q} | {took:.3f} | {times[q]:.3f} |")
    box = np.array([shapely.box(2, 49, 7, 52)], dtype=object)
    started = time.perf_counter()
    among = opened.chosen(box, (date(2018, 5, 1), date(2018, 7, 31)))
    chosen = time.perf_counter() - started
    assert among is not None
    took = timed(lambda: opened.search(queries[:1], 10, among=among))
    print(f"  filter to a region and three months: {among.sum():,} photos left in {chosen:.2f} s;")
    print(f"  then {took:.3f} s a query")


def cells(n: int, dim: int) -> None:
    """Time and recall of cells at several shares of them."""
    made = vectors(n, dim, max(1, n // 50), 4)
    queries = vectors(200, dim, max(1, n // 50), 5)
    photos = table(n)
    right = PhotoIndex.build(made, photos, CLIP, "exact")
    wanted = right.search(queries, 10).rows.tolist()
    plain = timed(lambda: right.search(queries[:1], 10))
    started = time.perf_counter()
    index = PhotoIndex.build(made, photos, CLIP, "cells")
    build = time.perf_counter() - started
    print(f"\nCells, {n:,} photos, {index.vectors.nlist} cells, built in {build:.0f} s;")
    print(f"  exact {1000 * plain:.1f} ms a query")
    print("  | share of cells | recall of the 10 best | ms a query |")
    chosen = settings.PROBED
    for share in sorted({0.01, 0.02, 0.04, 0.08, 0.16, chosen}):
        settings.PROBED = share
        found = index.search(queries, 10).rows.tolist()
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, wanted, strict=True)])
        took = timed(lambda: index.search(queries[:1], 10))
        used = " (used)" if share == chosen else ""
        print(f"  | {100 * share:g} %{used} | {recall:.3f} | {1000 * took:.1f} |")
    settings.PROBED = chosen


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=1_000_000, help="of the exact part")
    parser.add_argument("--cells", type=int, default=200_000, help="of the part on cells; 0: leave it out")
    parser.add_argument("--dim", type=int, default=512)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        exact(given.photos, given.dim, Path(folder))
    print(f"  peak of the whole run, float32 vectors and the plain form included: {peak():.1f} GB")
    if given.cells:
        cells(given.cells, given.dim)


if __name__ == "__main__":
    sys.exit(main())
