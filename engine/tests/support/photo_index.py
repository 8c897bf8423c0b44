"""Photo indexes for tests."""

import numpy as np

from sits_engine.retrieval.index import PhotoTable, day_number


def unit(rng, n, dim):
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def photo_table(n: int, *, days=None, xy=None) -> PhotoTable:
    """A made-up table of n photos."""

    def texts(values):
        out = np.empty(n, dtype=object)
        out[:] = list(values)
        return out

    return PhotoTable(
        paths=texts(f"/photos/Wiese ä {i}.jpg" for i in range(n)),
        ids=texts(f"place {i // 4}" for i in range(n)),
        directions=texts("NESW"[i % 4] for i in range(n)),
        taken=np.array([day_number(d) for d in (days or [None] * n)], np.int32),
        xy=np.column_stack([np.linspace(3, 4, n), np.linspace(50, 51, n)]) if xy is None else xy,
        hashes=texts(f"{i:064x}" for i in range(n)),
        sizes=np.arange(n, dtype=np.int64),
        changed=np.arange(n, dtype=np.int64) * 1000,
    )


CLIP = {"name": "tiny", "fingerprint": "f" * 64}
