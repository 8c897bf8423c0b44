"""How well images find photos and photos images, among places that training never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
#: Places that are compared with all others at once.
ROWS = 2048


@dataclass(frozen=True)
class Retrieval:
    """Shares and ranks among N places; both directions alike.

    Attributes:
        n: places.
        to_photos, to_images: share of places whose own partner is found among the first 1, 5 and 10.
        reciprocal: mean of 1 / rank, over both directions.
    """

    n: int
    to_photos: tuple[float, float, float]
    to_images: tuple[float, float, float]
    reciprocal: float

    @property
    def recall(self) -> tuple[float, float, float]:
        """Mean of both directions."""
        one, five, ten = (float(np.mean(pair)) for pair in zip(self.to_photos, self.to_images, strict=True))
        return one, five, ten


def retrieval(images: Floats, photos: Floats) -> Retrieval:
    """Same-place retrieval.

    Args:
        images, photos: (N, dim) unit vectors, row by row of the same place.
    """
    shares, inverse = [], []
    for queries, gallery in ((images, photos), (photos, images)):
        rank = np.empty(len(queries), np.int64)
        for start in range(0, len(queries), ROWS):
            part = slice(start, start + ROWS)
            cosines = queries[part] @ gallery.T
            own = np.take_along_axis(cosines, np.arange(len(queries))[part, None], 1)
            # equal ones count half, so that vectors that all are alike are no better than chance
            rank[part] = (cosines > own).sum(1) + (cosines == own).sum(1) // 2
        shares.append(tuple(float((rank < k).mean()) for k in (1, 5, 10)))
        inverse.append(float((1 / (rank + 1)).mean()))
    return Retrieval(len(images), shares[0], shares[1], float(np.mean(inverse)))  # type: ignore[arg-type]
