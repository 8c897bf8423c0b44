"""The base of all jobs: inputs that check themselves, and a result."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.outputs import atomic, check_writable


@dataclass
class JobResult:
    """What a job leaves: files (key = output name in lower case), scores and warnings for people."""

    outputs: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Job(BaseModel):
    """Inputs of a job as fields (the plugin's parameter names in lower case), and `run`."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    title: ClassVar[str] = ""
    #: Whether torchrun may start it in several processes; the first one runs it, the others `help`.
    several: ClassVar[bool] = False

    @classmethod
    def parse(cls, params: dict[str, Any]) -> Self:
        """Validate `params`; None and '' mean 'not given'.

        Raises:
            InputError: names the field, the reason and the value.
        """
        given = {key: value for key, value in params.items() if value is not None and value != ""}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "the inputs"
            reason = first["msg"].removeprefix("Value error, ")
            value = "" if first["type"] == "missing" else f" (given: {first.get('input')!r})"
            raise InputError(
                f"Parameter {name.upper()}: {reason}{value}.",
                "Correct it and run again.",
                parameter=name,
            ) from error

    def run(self, ctx: JobContext) -> JobResult:
        """Do the work."""
        raise NotImplementedError

    def help(self, ctx: JobContext) -> None:
        """Do another process's share of the work, where torchrun started several."""
        raise NotImplementedError

    @classmethod
    def refuse(cls, error: EngineError, ctx: JobContext) -> None:
        """Tell the process that runs the job why this one can't even begin to help."""
        raise NotImplementedError


def existing(path: Path, what: str) -> Path:
    """`path` if it exists, else an error that names it."""
    if not path.exists():
        raise InputError(f"{what} not found: {path}.", "Check the path.")
    return path


def keep_inputs(outputs: Iterable[Path | None], inputs: Iterable[Path | str | None]) -> None:
    """Refuse to write over an input; an input may be a vector string (path|layername=NAME)."""
    kept = {Path(str(one).split("|")[0]).resolve() for one in inputs if one}
    for output in outputs:
        if output is not None and output.resolve() in kept:
            raise InputError(
                f"{output} is an input of this run and would be overwritten.",
                "Choose another name for the output.",
            )


def claim_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | str | None]) -> None:
    """Before any work: no output is an input (`keep_inputs`), and each can be written."""
    given = [path for path in outputs if path is not None]
    keep_inputs(given, inputs)
    for path in given:
        check_writable(path)


def model_path(value: Path) -> Path:
    """`value` with the ending of a model file."""
    return value if value.suffix == ".safetensors" else value.with_name(value.name + ".safetensors")


def write_numbers(path: Path, values: dict[str, Any]) -> None:
    """Write the numbers of a report as JSON, complete or not at all."""
    from sits_engine.report.page import plain

    with atomic(path) as temporary:
        text = json.dumps(plain(values), ensure_ascii=False, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
