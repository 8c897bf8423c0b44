"""The command line: `sits train --series a.json …`, and `serve-job` for the plugin.

The options of a job are its fields, so that command line, protocol and dialogs can't disagree.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any, NoReturn, TextIO

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.jobs import Job, job_class, short_names


def _kind(annotation: Any) -> tuple[bool, bool]:
    """(is a list, is a boolean) of a field's type, looking through Optional."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return (True, False) if any(_kind(a)[0] for a in inner) else _kind(inner[0])
    return origin in (list, tuple), annotation is bool


def _choices(annotation: Any) -> list[str]:
    """The values that a field takes, where it is one (or a list) of some; else none."""
    if typing.get_origin(annotation) is typing.Literal:
        return [str(value) for value in typing.get_args(annotation) if value is not None]
    if typing.get_origin(annotation) in (list, tuple, typing.Union, types.UnionType):
        inner = [_choices(one) for one in typing.get_args(annotation) if one not in (type(None), Ellipsis)]
        # a path beside some words is free
        return [choice for one in inner for choice in one] if all(inner) else []
    return []


def add_fields(parser: argparse.ArgumentParser, job: type[Job]) -> None:
    """One option for each field of the job."""
    for name, field in job.model_fields.items():
        many, boolean = _kind(field.annotation)
        help_text = (field.description or "").replace("%", "%%")
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if default not in (None, "", []):
            help_text += f" (default: {default})"
        options: dict[str, Any] = {"help": help_text, "default": None, "dest": name}
        if boolean:
            options["action"] = argparse.BooleanOptionalAction
        else:
            # shown, not checked: the job itself says what is wrong with a value, and the way out
            choices = _choices(field.annotation)
            options["metavar"] = f"{{{','.join(choices)}}}" if choices else name.upper()
            if many:
                options["nargs"] = "+"
        parser.add_argument("--" + name.replace("_", "-"), required=False, **options)


def _bound(arguments: list[str]) -> list[str]:
    """Join values such as '-5.2,-5.1,40,41' (an extent in the west) to their option."""
    out: list[str] = []
    for one in arguments:
        if re.match(r"-\.?\d", one) and out and out[-1].startswith("--") and "=" not in out[-1]:
            out[-1] += f"={one}"
        else:
            out.append(one)
    return out


# torchrun starts this program several times and numbers the processes, here and on each machine
def _number(variable: str, otherwise: int) -> int:
    return int(os.environ.get(variable) or otherwise)


class _Parser(argparse.ArgumentParser):
    """Wrong use is said by the first process of each machine: the others there have the same command line."""

    def error(self, message: str) -> NoReturn:
        try:
            if _first_here():
                super().error(message)
            sys.exit(2)
        finally:
            _tell_process_0(message)


def _first_here() -> bool:
    return _number("LOCAL_RANK", _number("RANK", 0)) == 0


def _tell_process_0(message: str) -> None:
    """What is wrong on this machine: process 0, on another, would wait for this one in vain."""
    if _number("WORLD_SIZE", 1) > 1:
        from sits_engine.jobs.training_job import TrainingJob

        error = InputError(f"Wrong use: {message}", "Give the same command on all machines.")
        with contextlib.suppress(EngineError):  # it ended, too
            TrainingJob.refuse(error, JobContext())


def _say(line: str) -> None:
    """A line for a person, in one piece: several processes may write to one terminal or file."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Terminal:
    """Messages as lines for a person on stderr; the result as JSON on `out`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._phase: str | None = None

    def __call__(self, kind: str, fields: dict[str, Any]) -> None:
        """Show one message of type `kind`."""
        live = sys.stderr.isatty()
        if kind == "progress":
            self._progress(fields, live)
            return
        if live:
            sys.stderr.write("\r\033[K")
        if kind == "log":
            prefix = "Warning: " if fields["level"] == "warning" else ""
            _say(prefix + fields["text"])
        elif kind == "result":
            print(json.dumps(fields, indent=2, ensure_ascii=False, default=str), file=self._out, flush=True)
        elif kind == "error":
            text = f"Error ({fields['code']}): {fields['message']} {fields['advice']}"
            _say(text.rstrip())
            _say(f"Log: {fields['log']}")

    def _progress(self, fields: dict[str, Any], live: bool) -> None:
        """One line that is rewritten on a terminal; elsewhere a line a phase."""
        left = fields.get("seconds_left")
        line = f"{fields['percent']:5.1f} %  {fields['phase']}" + (
            "" if left is None else f", about {left} s left"
        )
        if live:
            sys.stderr.write(f"\r\033[K{line}")
            sys.stderr.flush()
        elif fields["phase"] != self._phase:
            _say(line)
        self._phase = fields["phase"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 done, 1 failed, 130 cancelled, 2 wrong use)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["serve-job"]:
        from sits_engine.serve import serve

        return serve()
    parser = _Parser(
        prog="sits",
        description="Crop maps from satellite image time series.",
        epilog="`sits JOB --help` lists the options of a job.",
    )
    parser.add_argument("--version", action="version", version=f"sits {__version__}")
    parser.add_argument("job", help=f"one of: {', '.join(short_names())}")
    known, rest = parser.parse_known_args(arguments[:1])
    try:
        job = job_class(known.job)
    except EngineError as error:
        parser.error(f"{error.message} Jobs: {', '.join(short_names())}.")
    # no abbreviations: `shift --series` would be taken for `--series-scale`
    sub = _Parser(prog=f"sits {known.job}", description=job.__doc__, allow_abbrev=False)
    sub.add_argument("--config", type=Path, help="JSON file with fields of the job; options override it")
    add_fields(sub, job)
    options = vars(sub.parse_args(_bound(arguments[1:] + rest)))
    params: dict[str, Any] = {}
    config = options.pop("config")
    if config is not None:
        try:
            params = json.loads(Path(config).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            sub.error(f"--config {config}: {error}")
    params.update({key: value for key, value in options.items() if value is not None})

    several, rank = _number("WORLD_SIZE", 1) > 1, _number("RANK", 0)
    if several and not job.several:
        sub.error(f"{known.job} runs in one process: start it without torchrun.")

    from sits_engine.protocol import take_stdout
    from sits_engine.serve import leave, on_signals, open_log, run_help, run_job

    show = Terminal(take_stdout())
    log_path, warning = open_log(known.job)
    ctx = JobContext(None if rank else show)
    if warning:
        ctx.warn(warning)
    on_signals(ctx, together=several)
    said = show if _first_here() else lambda kind, fields: None
    status = (run_help if rank else run_job)(known.job, params, ctx, said, log_path)
    if several:
        leave(status)  # at once: connections to processes that failed are not waited for
    return status


if __name__ == "__main__":
    sys.exit(main())
