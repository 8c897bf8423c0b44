"""Polygons in which somebody has ticked what grows there: image-level labels, as read from a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.label_fields import DONE_FIELD, ID_FIELD
from sits_engine.samples.label_layer import classes_of, named_layer
from sits_engine.samples.label_overlaps import overlaps
from sits_engine.samples.vectors import VectorSource, codes_of
from sits_engine.samples.window_classes import listed
from sits_engine.samples.yes_no import YesNoTable

if TYPE_CHECKING:
    import geopandas as gpd

#: A class in at least this share of the windows is hardly ever missing.
NEARLY_ALL = 0.95


@dataclass
class LabelWindows:
    """N polygons with a yes or no for each of K classes.

    A tick says "somewhere in here", no tick says "nowhere in here".

    Attributes:
        name: file and layer, for messages.
        classes: K names.
        fields: (K,) the field of each.
        ticks: (N, K) bool. Every class is ticked somewhere, and some tick is missing.
        frame: geometries of the N polygons in the CRS of the layer.
        ids: (N,) str, the field `window` where there is one, else the place in the layer.
        colors: colour of a class, where the file names one.
        notes: sentences on what was left out, with counts.
        warnings: sentences on what will make the result worse.
    """

    name: str
    classes: tuple[str, ...]
    fields: tuple[str, ...]
    ticks: npt.NDArray[np.bool_]
    frame: gpd.GeoSeries
    ids: npt.NDArray[np.str_]
    colors: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def polygons(self) -> npt.NDArray[np.object_]:
        """(N,) shapely polygons in the CRS of the layer."""
        return np.asarray(self.frame.to_numpy(), dtype=object)

    @classmethod
    def read(
        cls,
        layer: str,
        fields: Sequence[str] | None = None,
        *,
        done_field: str | None = DONE_FIELD,
        only_done: bool = False,
    ) -> LabelWindows:
        """Read a layer made by "Create label windows", or polygons of one's own with yes/no fields.

        Windows that somebody has looked at count: those that are done, ticks or not, and those with a tick.

        Args:
            layer: `path` or `path|layername=NAME`; polygons of any shape, in any CRS.
            fields: one for each class, of type boolean, or integer with 0 and 1. Default: the classes of the
                file, else all boolean fields and all integer fields that hold 0 and 1 only.
            done_field: says that a window was looked at; a layer may lack it.
            only_done: leave out windows with ticks that are not done.

        Raises:
            InputError: unreadable; no polygons; no yes/no field, or one of another type; nothing ticked yet;
                fewer than two classes ticked; every class ticked everywhere; a field of the file's list of
                crops renamed; the same polygon twice with different ticks.
        """
        name = VectorSource.parse(layer).name
        table, notes = YesNoTable.read(named_layer(layer), name)
        frame = table.frame
        known = classes_of(VectorSource.parse(layer).path)
        done_field = None if done_field is None else table.spelled(done_field)
        picked = table.tick_fields(fields, {one: crop for one, (crop, _) in known.items()}, done_field)
        chosen, notes = picked.names, [*notes, *picked.notes]
        ticks = np.column_stack([table.answers(one) for one in chosen])
        # a layer of one's own may do without the usual field, not without one that is asked for
        said_done = done_field is not None and (done_field in frame.columns or done_field != DONE_FIELD)
        done = table.answers(done_field) if said_done and done_field else np.zeros(len(frame), dtype=bool)
        looked_at = done if only_done else done | ticks.any(axis=1)
        notes += _on_looking(done, ticks, looked_at, only_done, said_done, name)
        if not looked_at.any():
            raise InputError(
                f"No window of {name} is {'done' if only_done else 'ticked or done'} yet.",
                f"Tick the crops of each window and its field '{done_field or DONE_FIELD}'; save the edits.",
            )
        ids = codes_of(frame[ID_FIELD].to_numpy()) if ID_FIELD in frame.columns else None
        places = np.array([str(i + 1) for i in range(len(frame))])
        names = places if ids is None else np.array([i or p for i, p in zip(ids, places, strict=True)])
        windows = cls(
            name=name,
            classes=tuple(known[one][0] if one in known else one for one in chosen),
            fields=tuple(chosen),
            ticks=ticks[looked_at],
            frame=frame.geometry[looked_at].reset_index(drop=True),
            ids=names[looked_at],
            colors={known[one][0]: known[one][1] for one in chosen if one in known},
            notes=notes,
            warnings=[
                *picked.warnings,
                *overlaps(frame.geometry[looked_at], names[looked_at], ticks[looked_at], name),
            ],
        )
        return windows.usable()

    def subset(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> LabelWindows:
        """These windows; call `usable` afterwards where classes may be gone."""
        return replace(
            self,
            ticks=self.ticks[index],
            frame=self.frame[index].reset_index(drop=True),
            ids=self.ids[index],
        )

    def usable(self) -> LabelWindows:
        """The windows without classes that no window has, and with warnings on classes that most have.

        Raises:
            InputError: fewer than two classes are left, or every window has every class.
        """
        n, count = len(self), self.ticks.sum(axis=0)
        here, warnings = count > 0, list(self.warnings)
        gone = [name for name, there in zip(self.classes, here, strict=True) if not there]
        if gone:
            warnings.append(f"In no window of {self.name}, left out: {listed(gone)}.")
        names = [name for name, there in zip(self.classes, here, strict=True) if there]
        if len(names) < 2:
            what = f"only one class is ticked, '{names[0]}'" if names else "no class is ticked"
            raise InputError(
                f"In the {n} windows of {self.name} {what}.",
                "Tick at least two classes; for one crop of interest add a field such as 'other crops'.",
            )
        ticks = self.ticks[:, here]
        if ticks.all():
            raise InputError(
                f"Each of the {n} windows of {self.name} has all {len(names)} classes: nothing tells them "
                "apart.",
                "Add windows where some of the classes are missing, or make the windows smaller.",
            )
        often = [
            f"{name} ({k} of {n})"
            for name, k in zip(names, count[here].tolist(), strict=True)
            if k >= NEARLY_ALL * n
        ]
        if often:
            warnings.append(
                f"In nearly all windows of {self.name}: {listed(often)}. Hardly any window "
                "shows how land without it looks; add such windows, or make the windows smaller."
            )
        return replace(
            self,
            classes=tuple(names),
            fields=tuple(one for one, there in zip(self.fields, here, strict=True) if there),
            ticks=ticks,
            colors={name: color for name, color in self.colors.items() if name in names},
            warnings=list(dict.fromkeys(warnings)),
        )


def _on_looking(
    done: npt.NDArray[np.bool_],
    ticks: npt.NDArray[np.bool_],
    looked_at: npt.NDArray[np.bool_],
    only_done: bool,
    said_done: bool,
    name: str,
) -> list[str]:
    """Sentences on windows that are not done, and on those where nothing grows."""
    notes = []
    ticked = ticks.any(axis=1)
    left, half = int((~looked_at).sum()), int((ticked & ~done).sum())
    if left:
        why = "not done" if only_done else "neither done nor ticked"
        notes.append(f"{name}: {left} of {len(done)} windows are {why} and were left out.")
    if half and said_done and not only_done:
        notes.append(f"{name}: {half} windows have ticks but are not marked as done; they were used.")
    empty = int((done & ~ticked).sum())
    if empty:
        notes.append(f"{name}: {empty} windows are done without a tick: they hold none of the classes.")
    return notes
