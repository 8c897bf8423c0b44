"""Which outputs of a map are asked for, and whether they go together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sits_engine.errors import InputError

if TYPE_CHECKING:
    from sits_engine.jobs.map_crops import MapCrops


def check_suffix(path: Path | None, suffix: str) -> None:
    """Raise InputError where an output has another ending (`.tif` may be `.tiff`)."""
    good = (suffix, ".tiff") if suffix == ".tif" else (suffix,)
    if path is not None and path.suffix.lower() not in good:
        raise InputError(f"The output {path.name} must end in {suffix}.", f"Name it {path.stem}{suffix}.")


def check_outputs(job: MapCrops) -> None:
    """Compare the outputs with each other and with the inputs that they need.

    Raises:
        InputError: none at all, one without what it is made of, a wrong ending, or one file for two.
    """
    if job.output is None and job.output_parcels is None:
        raise InputError("There is no output.", "Give OUTPUT (.tif), or PARCELS and OUTPUT_PARCELS (.gpkg).")
    if job.output_parcels is not None and not job.parcels:
        raise InputError("OUTPUT_PARCELS is given without PARCELS.", "Choose the parcel layer.")
    if job.parcels and job.output_parcels is None:
        raise InputError("PARCELS is given without OUTPUT_PARCELS.", "Say where the classified parcels go.")
    for name, extra in (("PROBABILITIES", job.probabilities), ("OUTPUT_POLYGONS", job.output_polygons)):
        if extra is not None and job.output is None:
            raise InputError(f"{name} is given without OUTPUT.", "Say where the crop map goes.")
    for path, suffix in (
        (job.output, ".tif"),
        (job.probabilities, ".tif"),
        (job.output_parcels, ".gpkg"),
        (job.output_polygons, ".gpkg"),
    ):
        check_suffix(path, suffix)
    if job.output is not None and job.output == job.probabilities:
        raise InputError("OUTPUT and PROBABILITIES are the same file.", "Choose two names.")
    if job.output_polygons is not None and job.output_polygons == job.output_parcels:
        raise InputError("OUTPUT_POLYGONS and OUTPUT_PARCELS are the same file.", "Choose two names.")
