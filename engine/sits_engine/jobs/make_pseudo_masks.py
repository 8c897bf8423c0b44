"""Make pseudo masks: from images and windows in which crops are ticked to a mask of every pixel."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.jobs.base import Job, model_path


class MakePseudoMasks(Job):
    """Learn from ticked windows what each crop looks like, and draw where in the windows it grows."""

    title: ClassVar[str] = "Make pseudo masks"

    series: Path = Field(description="time series (.json)")
    windows: str = Field(
        description="polygons with a yes/no field for each crop, as 'Create label windows' makes them "
        "(path|layername=NAME)"
    )
    fields: list[str] = Field(
        default_factory=list, description="yes/no fields, one a crop; default: those of the layer"
    )
    only_done: bool = Field(False, description="use windows that are marked as done only")
    bands: list[str] = Field(default_factory=list, description="bands to use; default: all")
    width: Literal["standard", "small"] | None = Field(
        None, description="published network, or a small one; default: small without a graphics card"
    )
    effort: Literal["quick", "standard", "thorough"] = Field("standard", description="how long to train")
    prototype_mode: Literal["momentum", "gradient"] = Field(
        "momentum", description="how prototypes of the crops move: by mean of their pixels, or by gradient"
    )
    maps: Literal["clues", "plain"] = Field(
        "clues", description="masks from prototypes (clues), or plain activation maps for comparison"
    )
    affinity: bool = Field(True, description="affinity propagation: scores flow between alike neighbours")
    threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="score of the background, which a crop must exceed; default: fixed, without pixel labels",
    )
    background: Literal["class", "unlabelled"] = Field(
        "class",
        description="pixels of none of the ticked crops: a class of their own, or unlabelled",
    )
    least_confidence: float = Field(
        0.0, ge=0, lt=1, description="pixels with a lower confidence (0 to 1) are left unlabelled"
    )
    window: int = Field(24, ge=8, le=256, description="pixels along a side of a training window, even")
    n_dates: int | None = Field(
        None, ge=4, le=366, description="dates that the network sees, spread evenly over the season"
    )
    max_windows: int = Field(
        4000, ge=1, description="training windows at most; each polygon gives at least one"
    )
    mask_clouds: bool = Field(True, description="clouded pixels are not valid; off: every pixel with data is")
    flips: bool = Field(True, description="flip and rotate windows in training")
    held_out: float = Field(
        0.1, ge=0, le=0.5, description="share of polygons that only the curve of the report sees"
    )
    epochs: int | None = Field(None, ge=1, le=10_000, description="default: by effort")
    batch_size: int = Field(16, ge=1, le=1024, description="windows a step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="highest")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="same seed on a processor, same masks")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    parcels: str | None = Field(
        None, description="pixel labels for the report only: parcels with known crops; never used for masks"
    )
    field: str | None = Field(None, description="field of parcels with the crop")
    labels: Path | None = Field(
        None, description="pixel labels for the report only: label raster (0 = unlabelled)"
    )
    class_table: Path | None = Field(
        None, description="CSV code,class,color: colours, and which codes of PARCELS or LABELS mean a crop"
    )
    output: Path = Field(description="masks (.tif): class and confidence in percent")
    output_classes: Path | None = Field(
        None, description="class table of the masks (.csv), for training; default: beside the masks"
    )
    output_model: Path | None = Field(None, description="classifier (.safetensors)")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")

    @field_validator("output_model")
    @classmethod
    def _model_name(cls, value: Path | None) -> Path | None:
        return None if value is None else model_path(value)

    @field_validator("bands", "fields", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """Commas or semicolons separate words (QGIS' string parameters)."""
        if not isinstance(value, str):
            return value
        return [word.strip() for word in value.replace(";", ",").split(",") if word.strip()]
