"""What the Zarr stores of samples share: are they ours, made from what, may they be replaced?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sits_engine.errors import EngineError, InputError
from sits_engine.outputs import check_writable


@dataclass(frozen=True)
class StoreKind:
    """One kind of store, by the format in its attributes, and its words for people.

    Attributes:
        format: attribute `format` of every store of this kind.
        refusal: '{path} <refusal>' where a folder is none: "is not a samples store".
        occupied: '{path} exists and <occupied>.' where something else would be replaced.
        folder: what another name is to be chosen for.
        advice: what to give instead.
    """

    format: str
    refusal: str
    occupied: str
    folder: str
    advice: str

    def open(self, path: Path) -> Any:
        """The Zarr group of a store, to read from.

        Raises:
            InputError: not there, or no store of this kind.
        """
        import zarr

        try:
            group = zarr.open_group(path, mode="r")
        except Exception as error:
            raise InputError(f"{path} {self.refusal}: {error}.", self.advice) from error
        if group.attrs.get("format") != self.format:
            raise InputError(f"{path} {self.refusal} of this version.", self.advice)
        return group

    def facts(self, path: Path) -> tuple[str, dict[str, Any]] | None:
        """Fingerprint and extra facts of the store at `path`, None where there is none that can be read."""
        if not path.exists():
            return None
        try:
            attributes = self.open(path).attrs
            return str(attributes["fingerprint"]), dict(attributes["extra"])
        except (InputError, KeyError):
            return None

    def check_target(self, path: Path) -> None:
        """Raise OUTPUT_NOT_WRITABLE unless a store can be written: nothing but such a store is replaced."""
        if path.is_file() or (path.is_dir() and any(path.iterdir()) and self.facts(path) is None):
            raise EngineError(
                "OUTPUT_NOT_WRITABLE",
                f"{path} exists and {self.occupied}.",
                f"Choose another name for {self.folder}, e.g. one that ends with .zarr.",
            )
        # of a folder that is there, its own content is what will be replaced
        check_writable(path / "zarr.json") if path.is_dir() else check_writable(path)
