"""The three kinds of prompts that a task is scored with: name, templates, descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sits_engine.errors import InputError
from sits_engine.models.clip.prompts import ClassPrompts, built_in, read_table, templates

#: Kind -> what it is, in the order of reports.
KINDS = {"name": "class name", "template": "name in templates", "descriptive": "descriptions"}


def prompt_kinds(
    names: Sequence[str], group: str, table: Path | None = None, described: str | None = None
) -> tuple[dict[str, ClassPrompts], list[str]]:
    """Prompts of each kind for the classes `names`, in their order, and sentences on what is missing.

    Args:
        names: K classes.
        group: of templates.
        table: CSV with the columns class and prompt: the user's descriptions; goes before `described`.
        described: built-in set of descriptions, or None.

    Raises:
        InputError: the table is unreadable or describes not all classes (named).
    """
    colors = (None,) * len(names)
    kinds = {
        "name": ClassPrompts(tuple(names), tuple((name,) for name in names), colors),
        "template": ClassPrompts(
            tuple(names),
            tuple(tuple(text.replace("{}", name) for text in templates(group)) for name in names),
            colors,
        ),
    }
    if table is None and described is None:
        return kinds, ["There are no descriptive prompts for these classes: give CLASS_TABLE to score them."]
    known = read_table(table) if table is not None else built_in(str(described))
    by_name = {name.casefold(): own for name, own in zip(known.names, known.prompts, strict=True)}
    missing = [name for name in names if not by_name.get(name.casefold())]
    if missing and table is not None:
        raise InputError(
            f"{table.name} has no prompts for {len(missing)} of {len(names)} classes: "
            f"{', '.join(missing[:8])}.",
            f"Add a line for each; it describes: {', '.join(known.names[:20])}.",
        )
    if missing:
        shown = ", ".join(missing[:8])
        return kinds, [f"The descriptions '{described}' are not used: they lack {shown}."]
    own = tuple(by_name[name.casefold()] for name in names)
    return {**kinds, "descriptive": ClassPrompts(tuple(names), own, colors)}, []
