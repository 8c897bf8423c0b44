"""Labelled windows as fields of a job, and how they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import existing
from sits_engine.jobs.region_samples import other_fields
from sits_engine.jobs.series_reading import SeriesJob

if TYPE_CHECKING:
    from sits_engine.samples.classes import ClassTable
    from sits_engine.samples.window_grid import WindowOptions, WindowSources
    from sits_engine.samples.windows import WindowSet


class WindowFields(SeriesJob):
    """Images, and labels from parcels or from label rasters."""

    series: list[Path] = Field(default_factory=list, description="time series (.json), one a region")
    parcels: list[str] = Field(
        default_factory=list, description="polygon layers with the class field, one a series or one for all"
    )
    field: str | None = Field(None, description="field of parcels with the class or crop code")
    labels: list[Path] = Field(
        default_factory=list,
        description="label rasters instead of parcels (0 = unlabelled), on the grid of the series or, with "
        "SCALE 2 or 4, one that is as many times finer",
    )
    class_table: Path | None = Field(
        None,
        description="CSV code,class,color that maps codes to classes; default: codes are the classes, and "
        "values of label rasters have the names and colours that the files give them",
    )
    bands: list[str] = Field(default_factory=list, description="bands to use; default: all common ones")
    scale: Literal["1", "2", "4"] = Field("1", description="labels are so many times finer than the images")
    least_covered: float = Field(
        0.5, ge=0, le=1, description="share of a pixel that parcels of its class must cover"
    )
    min_labelled: float = Field(
        0.05, ge=0, le=1, description="windows with a smaller share of labelled pixels are left out"
    )
    max_windows: int | None = Field(
        4000, ge=1, description="windows altogether, drawn at random; each region gives an equal share"
    )
    mask_clouds: bool = Field(True, description="clouded pixels are not valid; off: every pixel with data is")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="the same seed draws the same windows")

    @field_validator("series", "parcels", "labels", "bands", mode="before")
    @classmethod
    def _words(cls, value: object, info: object) -> object:
        """One text is a list too; commas separate bands (QGIS' string parameters)."""
        if not isinstance(value, (str, Path)):
            return value
        if getattr(info, "field_name", "") != "bands":
            return [value]
        return [word.strip() for word in str(value).replace(";", ",").split(",") if word.strip()]

    @field_validator("scale", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        """Numbers are as good as words."""
        return str(value) if isinstance(value, int) else value

    def label_files(self) -> list[Path | str | None]:
        """Inputs that no output may overwrite."""
        return [*self.series, *self.parcels, *self.labels, self.class_table]

    def window_sources(self, ctx: JobContext) -> WindowSources:
        """What `gather_windows` reads.

        Raises:
            InputError: parcels and label rasters are both given, parcels without field, or a file is missing.
        """
        from sits_engine.samples.window_grid import WindowSources

        if self.parcels and self.labels:
            raise InputError("PARCELS and LABELS are both given.", "Give one of them.")
        if self.parcels and not self.field:
            raise InputError("Parcels are given without FIELD.", "Choose the field with the class.")
        if self.class_table is not None:
            existing(self.class_table, "Class table")
        return WindowSources(
            series=[self.open_series(path, ctx) for path in self.series],
            labels=[*self.parcels, *map(str, self.labels)],
            label_field=self.field,
            bands=self.bands,
            named=self.class_table is None,
        )

    def raster_table(self, classes: Sequence[str]) -> ClassTable | None:
        """Colours that label rasters bring along, as a table of these classes; None where they bring none.

        Args:
            classes: codes of the windows; each is a class of its own.
        """
        from sits_engine.samples.classes import ClassTable
        from sits_engine.samples.raster_classes import named_classes

        found = [one for path in self.labels for one in named_classes(path) if one.color]
        colors = {one.name: one.color.lower() for one in reversed(found) if one.name in classes}
        return ClassTable("label rasters", {name: name for name in classes}, colors) if colors else None

    def window_options(self, size: int, stride: int | None = None) -> WindowOptions:
        """How windows of `size` pixels are cut."""
        from sits_engine.samples.window_grid import WindowOptions

        return WindowOptions(
            size=size,
            scale=int(self.scale),
            stride=stride,
            min_labelled=self.min_labelled,
            max_windows=self.max_windows,
            mask_clouds=self.mask_clouds,
            least=self.least_covered,
            seed=self.seed,
        )

    def check_field(self, windows: WindowSet) -> None:
        """Are the values of FIELD classes? A class table says which are, so it is believed.

        Args:
            windows: labelled by code.

        Raises:
            InputError: nearly every parcel has a value of its own; names the other fields.
        """
        from sits_engine.samples.window_classes import refuse_numbers

        if not self.parcels or self.class_table is not None:
            return
        try:
            refuse_numbers(windows)
        except InputError as error:
            raise InputError(
                f"Field '{self.field}': {error.message}",
                f"{error.advice} {other_fields(self.parcels[0], self.field)}",
            ) from error


def read_windows(
    sources: WindowSources,
    options: WindowOptions,
    store: Path | None,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[WindowSet, list[str], bool]:
    """The windows labelled by code, notes, and whether they came from the store.

    Args:
        store: Zarr folder that keeps the windows for the next run with the same inputs, or None.

    Raises:
        InputError: as `gather_windows`; or the store is a data set that was exported or converted.
    """
    from sits_engine.samples.gather import INCOMPLETE
    from sits_engine.samples.window_grid import gather_windows
    from sits_engine.samples.window_store import STORE
    from sits_engine.samples.windows import WindowSet

    if store is None:
        return *gather_windows(sources, options, progress), False
    mark = _mark(sources, options)
    kept = STORE.facts(store)
    if kept is not None and not kept[0]:
        raise InputError(
            f"{store} is a data set of windows, not a store that a training made; it would be overwritten.",
            "Choose another folder for WINDOWS_STORE.",
        )
    if kept is not None and kept[0] == mark:
        progress(1.0)
        return WindowSet.load(store), list(kept[1].get("notes", [])), True
    windows, notes = gather_windows(sources, options, progress)
    whole = not any(one.missing for one in sources.series)  # type: ignore[attr-defined]
    windows.save(store, fingerprint=mark if whole else f"{mark} {INCOMPLETE}", extra={"notes": notes})
    return windows, notes, False


def _mark(sources: WindowSources, options: WindowOptions) -> str:
    """Changes when images, labels or the way of cutting change."""
    from sits_engine.samples.gather import file_mark, layer_mark
    from sits_engine.samples.label_rasters import is_label_raster
    from sits_engine.samples.raster_classes import named_classes
    from sits_engine.samples.vectors import read_labelled

    rasters = [text for text in sources.labels if is_label_raster(text)]
    plain: dict[str, Any] = {
        "series": [one.fingerprint() for one in sources.series],  # type: ignore[attr-defined]
        "bands": list(sources.bands),
        "options": asdict(options),
        "rasters": [file_mark(Path(text)) for text in rasters],
        "names": [asdict(one) for text in rasters for one in named_classes(Path(text))] * sources.named,
    }
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    for text in sources.labels:
        if not is_label_raster(text):
            digest.update(layer_mark(read_labelled(text, sources.label_field or "")))
    return digest.hexdigest()
