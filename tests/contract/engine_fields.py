"""Run by the engine's Python: the fields of every job as JSON (default, bounds, choices, list or not)."""

import json
import sys
import types
import typing

from sits_engine.jobs import JOBS, job_class


def arms(annotation):
    """Members of a union, without None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [arm for arm in typing.get_args(annotation) if arm is not type(None)]
    return [annotation]


def bounds(metadata):
    """Lower and upper bound of a pydantic field, None where open."""
    found = {}
    for item in metadata:
        for side, names in (("low", ("ge", "gt")), ("high", ("le", "lt"))):
            for name in names:
                value = getattr(item, name, None)
                if value is not None:
                    found[side] = value
    return found


def describe(field):
    """Facts of one field."""
    kinds = arms(field.annotation)
    choices = [
        value
        for kind in kinds
        if typing.get_origin(kind) is typing.Literal
        for value in typing.get_args(kind)
    ]
    metadata = [*field.metadata, *(m for kind in kinds for m in getattr(kind, "__metadata__", ()))]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return {
        "required": field.is_required(),
        "default": default if isinstance(default, (int, float, str, bool)) else None,
        "choices": choices,
        "list": any(typing.get_origin(kind) in (list, tuple) for kind in kinds),
        **bounds(metadata),
    }


json.dump(
    {job: {name: describe(f) for name, f in job_class(job).model_fields.items()} for job in JOBS}, sys.stdout
)
