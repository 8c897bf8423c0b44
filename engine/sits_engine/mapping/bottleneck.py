"""What limited a map, in one sentence with the way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import rasterio
from rasterio.errors import RasterioError

from sits_engine.mapping.embedding_map import EmbeddingTiles
from sits_engine.mapping.segment_tiles import SegmentTiles
from sits_engine.mapping.timings import Stage, Timings
from sits_engine.models.card import ModelCard
from sits_engine.models.registry import WIDTHS
from sits_engine.series.reader import placement
from sits_engine.series.scenes import gdal_path, over_network
from sits_engine.series.time_series import TimeSeries

#: How the images of a series are stored, as far as it matters for reading them.
Storage = Literal["remote", "jpeg2000", "resampled", "strips", "tiles", "unknown"]
#: What a model sees: single pixels (by a network that has no faster form, by one with a fast network in its
#: file, by that one), windows, or pixels in the space of words and photos.
Network = Literal["pixels", "both", "fast", "segments", "words"]

COPY = "make a clipped copy with 'Build image time series' (CLIP_FOLDER)"
#: Storage that a clipped copy makes faster: what it is called.
SLOW: dict[Storage, str] = {
    "remote": "images from a server",
    "jpeg2000": "decoding JPEG 2000",
    "resampled": "resampling images that are not on the grid of the series",
    "strips": "images in strips instead of tiles",
}
LIGHTER: dict[Network, str] = {
    "pixels": "add a fast network in training (FAST), or use a graphics card",
    "both": "map with FAST, the fast network in the model's file, or use a graphics card",
    "fast": "use more processors",
    "segments": "lower OVERLAP, or use a graphics card",
    "words": "choose fewer STEPS, or use a graphics card",
}


def remote(series: Any) -> bool:
    """Whether images of a series are read from a server."""
    if not isinstance(series, TimeSeries):
        return False
    return any(over_network(href) for scenes in series.scenes for scene in scenes for href in scene.hrefs())


def storage(series: Any, bands: Sequence[str]) -> Storage:
    """How the images of a series are stored, judged by those of its first date; the slowest counts."""
    if not isinstance(series, TimeSeries):
        return "unknown"
    scene = series.scenes[0][0]
    used = [band for band in scene.bands if band.name in bands]
    if any(over_network(band.href) for band in used):
        return "remote"
    found: set[Storage] = set()
    try:
        for href in dict.fromkeys(band.href for band in used):
            with rasterio.open(gdal_path(href)) as image:
                if image.driver.startswith("JP2"):
                    found.add("jpeg2000")
                elif image.block_shapes[0][1] >= image.width > image.block_shapes[0][0] * 4:
                    found.add("strips")
    except (RasterioError, OSError):
        return "unknown"  # it was readable a moment ago: the map matters more than the sentence
    places = [placement(band.grid, series.grid) for band in used]
    if any(place is None or place.step != 1 for place in places):
        found.add("resampled")
    for kind in ("jpeg2000", "strips", "resampled"):
        if kind in found:
            return kind
    return "tiles"


def network_of(predictor: Any, card: ModelCard) -> Network:
    """What a model of `run_tiles` sees."""
    if isinstance(predictor, SegmentTiles):
        return "segments"
    if isinstance(predictor, EmbeddingTiles):
        return "words"
    if card.fast is not None:
        return "both"
    own = {name: card.hyperparameters.get(name) for name in WIDTHS["fast"]}
    return "fast" if own == WIDTHS["fast"] else "pixels"


def sentence(timings: Timings, stored: Storage, network: Network, *, planned: bool = False) -> str:
    """What took the time of a map, and what would make it faster.

    Args:
        timings: of the pipeline.
        stored: of `storage`.
        network: what the model sees.
        planned: the map is yet to be made.
    """
    verb = "will take" if planned else "took"
    shares = timings.shares()
    order: list[Stage] = sorted(shares, key=lambda stage: -shares[stage])
    first = order[0]
    if timings.mostly_starting:
        share = 100 * min(1.0, timings.starting / (timings.elapsed * timings.workers))
        return (
            f"Starting {verb} {share:.0f} % of the time (preparing the network, once): it doesn't grow with "
            f"the map. Of the rest, {first} {verb} {100 * shares[first]:.0f} %."
        )
    others = " and ".join(f"{stage} {100 * shares[stage]:.0f} %" for stage in order[1:])
    why, out = _way_out(first, timings, stored, network)
    card = ""
    if timings.card and not planned:
        card = f" The graphics card waited for input {100 * timings.waiting:.0f} % of the time."
    main = f"{first.capitalize()} {verb} {100 * shares[first]:.0f} % of the time ({why})"
    return f"{main}, {others}: {out}.{card}"


def _way_out(first: Stage, timings: Timings, stored: Storage, network: Network) -> tuple[str, str]:
    """(what the stage did, what would make it faster)."""
    if first == "writing":
        return "storing finished tiles", "choose an output folder on a faster, local disk"
    if first == "computing":
        if timings.card:
            return "the network on the graphics card", "use a larger card, or several machines"
        return "the network on the processor", LIGHTER[network]
    if stored == "remote":
        return SLOW[stored], f"{COPY}, or run near the data"
    if stored in SLOW:
        why = SLOW[stored]
        if stored == "jpeg2000" or timings.decoding:
            return why, COPY
        if timings.crowded:
            return f"{why}, beside other programs", COPY
        return f"{why}, from a slow disk", f"{COPY} on a local disk"
    if timings.decoding:
        return "decompressing the images", "use more processors"
    if timings.crowded:
        return (
            "waiting for processors that other programs use, or for the disk",
            "run it while those are idle",
        )
    return "waiting for the disk", "put the files on a faster, local disk"
