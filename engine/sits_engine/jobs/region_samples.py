"""What the jobs of adaptation have in common: source and target samples as fields, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError, ModelError
from sits_engine.jobs.base import Job, existing
from sits_engine.jobs.series_reading import SeriesJob

if TYPE_CHECKING:
    from torch import nn

    from sits_engine.models.card import ModelCard
    from sits_engine.samples.gather import Sources
    from sits_engine.samples.pixel_sets import PixelSets
    from sits_engine.samples.unlabelled import TargetSources
    from sits_engine.series.time_series import TimeSeries

#: Fewer target samples than this have no class distribution to speak of.
MIN_TARGET = 30
#: Pixels kept of a parcel unless the user says otherwise.
MAX_PIXELS = 128


@dataclass
class RegionSamples:
    """Samples of one region and what to say of them.

    Attributes:
        sets: as read; labels are codes, or the model's classes where that is said.
        title: name of the region for people.
        season_year: of the first series.
        facts: files, dates and fields, for provenance.
        notes: what was dropped or repaired.
    """

    sets: PixelSets
    title: str
    season_year: int
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)


class ParcelFields(Job):
    """How pixels are taken from parcels, and where to compute."""

    buffer: float | None = Field(
        None, ge=0, description="erosion of parcels in metres; default: 0.71 pixels (published: 20 m)"
    )
    min_pixels: int = Field(1, ge=1, description="parcels with fewer pixels are dropped")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")

    @property
    def most_pixels(self) -> int:
        """Pixels kept of a parcel."""
        return MAX_PIXELS


class SamplingFields(ParcelFields):
    """The same, with a limit on the pixels of a parcel."""

    max_pixels: int = Field(MAX_PIXELS, ge=1, description="pixels kept of a parcel, drawn at random")

    @property
    def most_pixels(self) -> int:
        """Pixels kept of a parcel."""
        return self.max_pixels


class SourceFields(SeriesJob):
    """Labelled samples of the region where the model learned."""

    series: list[Path] = Field(default_factory=list, description="source: time series (.json), one a region")
    parcels: list[str] = Field(
        default_factory=list,
        description="source: polygon or point layers with the class field, one a series or one for all",
    )
    field: str | None = Field(None, description="source: field with the class or crop code")
    labelled_series: Path | None = Field(
        None,
        description="source: table of labelled series (CSV, CSV.gz, Parquet): id, date, one column a band",
    )
    labels_table: str | None = Field(
        None, description="source: table or layer with the labels of labelled_series, joined by id_field"
    )
    id_field: str | None = Field(None, description="source: column that names a place, in both tables")
    series_scale: float | None = Field(
        None, gt=0, description="physical value = number * series_scale in labelled_series; default: detected"
    )

    @field_validator("series", "parcels", mode="before")
    @classmethod
    def _one_source(cls, value: object) -> object:
        """One text is a list, too (QGIS' string parameters)."""
        return [value] if isinstance(value, (str, Path)) else value

    def source_files(self) -> list[Path | str | None]:
        """Inputs that no output may overwrite."""
        return [*self.series, *self.parcels, self.labelled_series, self.labels_table]

    def open_source(
        self, ctx: JobContext, sampling: ParcelFields, bands: list[str], mask_clouds: bool, seed: int
    ) -> Sources:
        """What `samples.gather` reads.

        Args:
            bands: in any usual spelling; empty: all that every source has.
            mask_clouds: as the model needs it.
            seed: of the draw of pixels.

        Raises:
            InputError: nothing given, or no field with labels.
        """
        from sits_engine.samples.gather import Sources
        from sits_engine.samples.tables import TableOptions

        if not self.series and not self.parcels and self.labelled_series is None:
            raise InputError(
                "There are no samples of the source.",
                "Give SERIES and PARCELS of the region where the crops are known, or a table of "
                "LABELLED_SERIES.",
            )
        if not self.field:
            raise InputError(
                "The samples of the source have no labels: FIELD is missing.",
                "Name the field that holds the crop.",
            )
        if self.labels_table and self.labelled_series is None:
            raise InputError(
                "LABELS_TABLE is given without LABELLED_SERIES.", "Give the table of labelled series as well."
            )
        table = None
        if self.labelled_series is not None:
            existing(self.labelled_series, "Table of labelled series")
            table = TableOptions(
                self.field, self.labels_table or "", self.id_field, bands or None, self.series_scale
            )
        return Sources(
            series=[self.open_series(path, ctx) for path in self.series],
            parcels=self.parcels,
            label_field=self.field,
            options=parcel_options(sampling, mask_clouds, seed),
            bands=bands,
            table=self.labelled_series,
            table_options=table,
            id_field=self.id_field if self.labelled_series is None else None,
        )

    def read_source(
        self, sources: Sources, progress: Callable[[float], None], store: Path | None = None
    ) -> RegionSamples:
        """The samples of `open_source`, labelled by code."""
        from sits_engine.samples.gather import gather

        if store is not None and store.suffix != ".zarr":
            store /= "samples.zarr"
        gathered = gather(sources, store=store, progress=progress)
        facts = {
            "series": [series_facts(one) for one in sources.series],
            "parcels": layer_names(self.parcels),
            "field": self.field,
            "labelled_series": None if self.labelled_series is None else self.labelled_series.name,
        }
        title, year = named(sources.series, self.labelled_series)
        return RegionSamples(gathered.sets, title, year, facts, gathered.notes)


class TargetFields(SeriesJob):
    """The region without labels: images with parcels, or a table of series."""

    target_series: list[Path] = Field(
        default_factory=list, description="target: time series (.json) of the region without labels"
    )
    target_parcels: str | None = Field(
        None, description="target: polygon or point layer; no class field is needed"
    )
    target_table: Path | None = Field(
        None, description="target: table of series (CSV, CSV.gz, Parquet): id, date, one column a band"
    )

    @field_validator("target_series", mode="before")
    @classmethod
    def _one_target(cls, value: object) -> object:
        """One text is a list, too (QGIS' string parameters)."""
        return [value] if isinstance(value, (str, Path)) else value

    def target_files(self) -> list[Path | str | None]:
        """Inputs that no output may overwrite."""
        return [*self.target_series, self.target_parcels, self.target_table]

    def open_target(
        self, ctx: JobContext, sampling: ParcelFields, mask_clouds: bool, seed: int
    ) -> TargetSources:
        """What `samples.unlabelled` reads; pixels of a region and labels are for the caller to add."""
        from sits_engine.samples.unlabelled import TargetSources

        if self.target_table is not None:
            existing(self.target_table, "Table of series of the target")
        return TargetSources(
            series=[self.open_series(path, ctx) for path in self.target_series],
            parcels=self.target_parcels,
            options=parcel_options(sampling, mask_clouds, seed),
            table=self.target_table,
        )


class PixelFields(Job):
    """Single pixels drawn where the target has no parcels."""

    region: str | None = Field(
        None,
        description="target without parcels: single pixels are drawn inside this polygon layer or extent "
        "(xmin,xmax,ymin,ymax [EPSG:code]); default: anywhere in the images",
    )
    n_pixels: int = Field(4000, ge=100, le=1_000_000, description="target without parcels: pixels drawn")


class TargetLabelFields(Job):
    """Labels of the target, and how its table is read."""

    target_field: str | None = Field(
        None, description="target: field with the class, for scores only; nothing is chosen by it"
    )
    target_labels_table: str | None = Field(
        None, description="target: table or layer with the labels of target_table, joined by target_id_field"
    )
    target_id_field: str | None = Field(None, description="target: column that names a place")
    target_series_scale: float | None = Field(
        None,
        gt=0,
        description="physical value = number * target_series_scale in target_table; default: detected",
    )

    def with_labels(self, sources: TargetSources) -> TargetSources:
        """`sources` with the labels and the table options of these fields."""
        import dataclasses

        from sits_engine.samples.tables import TableOptions

        if self.target_labels_table and (sources.table is None or not self.target_field):
            missing = "TARGET_TABLE" if sources.table is None else "TARGET_FIELD"
            raise InputError(
                f"TARGET_LABELS_TABLE is given without {missing}.", f"Give {missing} as well, or leave both."
            )
        table = TableOptions(
            self.target_field or "",
            self.target_labels_table or "",
            self.target_id_field,
            scale=self.target_series_scale,
        )
        return dataclasses.replace(
            sources,
            label_field=self.target_field,
            id_field=self.target_id_field if sources.table is None else None,
            table_options=table,
        )


def read_target(sources: TargetSources, bands: list[str], progress: Callable[[float], None]) -> RegionSamples:
    """Target samples in these bands; labels, where asked for, are codes.

    Raises:
        InputError: as `gather_target`; or there are fewer than `MIN_TARGET` samples.
    """
    from sits_engine.samples.unlabelled import gather_target

    gathered = gather_target(sources, bands, progress)
    if len(gathered.sets) < MIN_TARGET:
        said = f" {' '.join(gathered.notes)}" if gathered.notes else ""
        raise InputError(
            f"The target has {len(gathered.sets)} samples; at least {MIN_TARGET} are needed.{said}",
            "Give more parcels, a larger region or more pixels.",
        )
    facts = {
        "series": [series_facts(one) for one in sources.series],
        "parcels": layer_names([sources.parcels] if sources.parcels else []),
        "region": region_name(sources.region),
        "table": None if sources.table is None else sources.table.name,
    }
    title, year = named(sources.series, sources.table)
    return RegionSamples(gathered.sets, title, year, facts, gathered.notes)


def open_model(path: Path) -> tuple[nn.Module, ModelCard]:
    """A model that can be adapted.

    Raises:
        InputError: not there. ModelError: unreadable, not made by us, or another network.
    """
    from sits_engine.models.model_file import load_model

    module, card = load_model(existing(path, "Model"))
    if card.architecture != "pseltae":
        raise ModelError(
            f"The model {path.name} is a network of the kind '{card.architecture}'; adaptation needs "
            "PSE+LTAE ('pseltae'), whose answer can be computed for shifted dates.",
            "Choose a model made by 'Train source model'.",
        )
    return module, card


def check_bands(series: list[TimeSeries], card: ModelCard) -> None:
    """ModelError that names both lists where a series lacks a band of the model."""
    from sits_engine.mapping.compat import match_bands

    for one in series:
        match_bands(one, card)


def parcel_options(sampling: ParcelFields, mask_clouds: bool, seed: int) -> Any:
    """`samples.parcels.ParcelOptions` of these fields."""
    from sits_engine.samples.parcels import ParcelOptions

    return ParcelOptions(
        buffer=sampling.buffer,
        min_pixels=sampling.min_pixels,
        max_pixels=sampling.most_pixels,
        mask_clouds=mask_clouds,
        seed=seed,
    )


def series_facts(one: TimeSeries) -> dict[str, Any]:
    """A series in the provenance of a model; `bbox` in longitudes and latitudes."""
    from sits_engine.series.gridding import reproject_bounds

    grid = one.grid
    return {
        "title": one.title,
        "file": one.path.name,
        "dates": [day.isoformat() for day in one.dates],
        "season_year": one.season_year,
        "crs": grid.crs,
        "pixel_size": list(grid.resolution),
        "bbox": [round(degree, 3) for degree in reproject_bounds(grid.bounds, grid.crs, "EPSG:4326")],
    }


def layer_names(layers: list[str]) -> list[str]:
    """File names of vector strings."""
    return [Path(text.split("|")[0]).name for text in layers]


def other_fields(layer: str, field: str | None) -> str:
    """A sentence that names the fields of a vector layer that could have been meant instead of `field`."""
    from sits_engine.samples.vectors import field_names

    others = [name for name in field_names(layer) if name != field]
    return f"Its other fields: {', '.join(others[:20]) or 'none'}."


def region_name(text: str | None) -> str | None:
    """A region in the provenance: the extent itself, or the file's name."""
    from sits_engine.samples.unlabelled import is_extent

    if text is None or is_extent(text):
        return text
    return layer_names([text])[0]


def named(series: list[TimeSeries], table: Path | None) -> tuple[str, int]:
    """Name of a region for people, and its season year."""
    from sits_engine.samples.tables import season_year_of

    titles = list(dict.fromkeys(one.title for one in series))
    if table is not None:
        titles.append(table.name)
    if series:
        return ", ".join(titles), series[0].season_year
    return ", ".join(titles), 1970 if table is None else season_year_of(table)
