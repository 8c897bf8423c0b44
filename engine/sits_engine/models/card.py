"""The model card: what a person and a program must know about a model, stored in the model file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

#: Written where the file holds one network, and where it holds a fast one beside it (`FastCard`): an older
#: engine says that it must be updated instead of complaining about a field.
FORMAT, FORMAT_WITH_FAST = "sits-model/1", "sits-model/2"
DATE_CONVENTION = "days since 1 January of the season year, 0-based, may be negative"


class BandCard(BaseModel):
    """One input band, by name. Network input = (physical value - mean) / std."""

    model_config = ConfigDict(extra="forbid")
    name: str
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)


class ClassCard(BaseModel):
    """One class. In maps its value is its place in the list, counted from 1; 0 is nodata."""

    model_config = ConfigDict(extra="forbid")
    name: str
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    codes: list[str] = Field(default_factory=list, description="values of the label field that mean it")


class FastCard(BaseModel):
    """The fast network in the same file: of the same architecture, for the same bands, classes and dates."""

    model_config = ConfigDict(extra="forbid")
    hyperparameters: dict[str, Any]
    temperature: float = Field(default=1.0, gt=0)
    scores: dict[str, Any] = Field(default_factory=dict, description="on single pixels, beside its teacher's")


class ModelCard(BaseModel):
    """Everything beside the weights. JSON in the safetensors metadata under the key `sits_model_card`.

    The names follow the STAC Machine Learning Model extension where it has them (`docs/model-file.md`).
    """

    model_config = ConfigDict(extra="forbid")
    format: str = FORMAT
    architecture: str
    hyperparameters: dict[str, Any]
    bands: list[BandCard]
    classes: list[ClassCard]
    season_year: int
    positions: list[float] = Field(description="date positions of the training series, sorted, unique")
    date_convention: str = DATE_CONVENTION
    mask_dates: bool = True
    temperature: float = Field(default=1.0, gt=0, description="probabilities = softmax(logits / temperature)")
    profiles: dict[str, Any] = Field(default_factory=dict, description="mean profile of each class")
    provenance: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)
    fast: FastCard | None = Field(default=None, description="of the fast network, where the file holds one")
    tensors_sha256: str = ""

    @property
    def band_names(self) -> list[str]:
        """Names of the bands in the order of the network's input channels."""
        return [band.name for band in self.bands]

    @property
    def class_names(self) -> list[str]:
        """Class names in the order of the logits."""
        return [c.name for c in self.classes]
