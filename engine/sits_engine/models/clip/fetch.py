"""Fetching a CLIP model once, on the user's explicit word, at a fixed commit, into the models folder."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.home import home
from sits_engine.models.clip import background, store
from sits_engine.models.clip.folder import PREPROCESSING, TOKENIZER_FILES, check_folder, family_of
from sits_engine.outputs import discard, naming_full_disk, partial, publish

HUB = "https://huggingface.co"
#: Models with the commit that is fetched: what a name means can't change under a user. (Where a commit has no
#: safetensors, its pytorch_model.bin is fetched, of which only tensors are read.)
KNOWN = {
    "openai/clip-vit-base-patch32": "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",  # pragma: allowlist secret
    "openai/clip-vit-base-patch16": "57c216476eefef5ab752ec549e440a49ae4ae5f3",  # pragma: allowlist secret
    "openai/clip-vit-large-patch14": "32bd64288804d66eefd0ccbe215aa642df71cc41",  # pragma: allowlist secret
}
#: The model that TimeSenCLIP was published with.
DEFAULT = "openai/clip-vit-base-patch32"
#: Written beside the model: what was fetched, and from where.
RECORD = "fetched.json"
SMALL = ("config.json", PREPROCESSING, *TOKENIZER_FILES)
SAFE = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
TENSORS = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
#: Seconds to wait for an answer of the hub.
TIMEOUT = 20
BY_HAND = (
    "On a computer with internet fetch it (`sits fetch-clip --accept`, or the files by hand from the model's "
    "page), copy its folder here, and choose that folder, or put it in {folder}."
)


@dataclass(frozen=True)
class _Listed:
    """A file at the hub; `sha256` is '' for small files, of which the hub doesn't state it."""

    name: str
    size: int
    sha256: str


def models_folder() -> Path:
    """Where fetched CLIP models lie, and copied ones may."""
    return home() / "models" / "clip"


def default_clip() -> Path | None:
    """The model in the models folder, where there is exactly one."""
    folder = models_folder()
    found = [path.parent for path in folder.glob("*/config.json") if not path.parent.name.startswith(".")]
    return found[0] if len(found) == 1 else None


def fetch_clip(
    name: str, revision: str | None, folder: Path | None, ctx: JobContext, *, accept: bool
) -> Path:
    """Fetch a CLIP model and give its folder, `folder`/<name without owner>; once it is there, it is there.

    The folder appears complete or not at all. Nothing of the user (no token of the hub) is sent.

    Args:
        name: 'owner/model' at Hugging Face, or at the server that the variable HF_ENDPOINT names.
        revision: a commit (40 hex digits); None takes that of `KNOWN`. For other models a branch or tag, too:
            it is looked up once, and `RECORD` keeps the commit.
        folder: of models; None: `models_folder()`.
        ctx: progress in bytes; cancellation is noticed within a second.
        accept: the user's explicit word.

    Raises:
        InputError: no word, no such model or revision, no CLIP model, or something else is in the way.
        EngineError: NETWORK, with the way to do without.
    """
    commit = _asked(name, revision)
    target = (folder or models_folder()).expanduser() / name.split("/")[1]
    if _is_there(target, name, commit):
        ctx.info(f"{name} is already in {target}; nothing is fetched.")
        return target
    if not accept:
        raise InputError(
            f"Nothing was fetched: {name} comes from the internet ({endpoint()}), several hundred megabytes.",
            "Confirm it (ACCEPT), or copy the folder of a CLIP model from another computer.",
        )
    ctx.progress(0.0, f"Asking {endpoint()}")
    sha, listed = background.run(lambda: _look_up(name, commit), ctx)
    if _is_there(target, name, sha):
        return target
    small = [one for one in listed if one.name in SMALL]
    large = [one for one in listed if SAFE.fullmatch(one.name)]
    large = large or [one for one in listed if TENSORS.fullmatch(one.name)]
    if not large:
        raise InputError(f"{name} has no weights for PyTorch (model.safetensors).", "Choose another model.")
    target.parent.mkdir(parents=True, exist_ok=True)
    size = sum(one.size for one in (*small, *large))
    if shutil.disk_usage(target.parent).free < size + 2**26:
        raise EngineError(
            "DISK_FULL",
            f"{name} needs {size / 1e6:.0f} MB, there is less free at {target.parent}.",
            "Free some space, or choose another folder of models.",
        )
    ctx.info(f"Fetching {name} at {sha} from {endpoint()}: {size / 1e6:.1f} MB.")
    temporary = partial(target)
    try:
        with naming_full_disk(target.parent):
            _download(name, sha, small, temporary, ctx, 0.02, 0.05)
            family_of(temporary)  # before the large files: is it CLIP at all?
            _download(name, sha, large, temporary, ctx, 0.05, 0.95)
            ctx.progress(0.95, "Checking the files")
            hashes = _checked(temporary, (*small, *large), ctx)
            shutil.rmtree(temporary / ".cache", ignore_errors=True)
            record = {
                "name": name,
                "revision": sha,
                "asked": revision or "",
                "from": endpoint(),
                "day": datetime.date.today().isoformat(),
                "sha256": hashes,
            }
            (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            check_folder(temporary)
        publish({temporary: target})
    finally:
        discard(temporary)
    ctx.progress(1.0, "Done")
    return target


def endpoint() -> str:
    """The hub that is asked."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def _asked(name: str, revision: str | None) -> str:
    """What to ask for.

    Raises:
        InputError: no name of a model, or no fixed revision.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is no name of a model (owner/model).", f"An example: {DEFAULT}.", parameter="name"
        )
    if name in KNOWN:
        if revision and not _COMMIT.fullmatch(revision):
            raise InputError(
                f"The revision '{revision}' of {name} is no commit (40 hex digits).",
                f"Leave it empty: {KNOWN[name]} is taken.",
                parameter="revision",
            )
        return revision or KNOWN[name]
    if not revision:
        raise InputError(
            f"The revision of {name} is not stated.",
            f"Give the commit (40 hex digits, see {endpoint()}/{name}/commits/main), or a branch "
            f"('main'): it is looked up once. With a fixed revision: {', '.join(KNOWN)}.",
            parameter="revision",
        )
    return revision


def _is_there(target: Path, name: str, commit: str) -> bool:
    """The model is there already.

    Raises:
        InputError: something else is.
    """
    if not target.exists():
        return False
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
        same = record["name"] == name and commit in (record["revision"], record["asked"])
    except (OSError, ValueError, KeyError, TypeError):
        record, same = None, False
    if not same:
        what = f"{record['name']} at {record['revision']}" if isinstance(record, dict) else "something else"
        raise InputError(
            f"{target} is in the way: it holds {what}.",
            "Use it as it is, remove it, or choose another folder of models.",
        )
    check_folder(target)
    return True


def _look_up(name: str, revision: str) -> tuple[str, list[_Listed]]:
    """The commit and its files."""
    from huggingface_hub import HfApi

    with _naming_errors(name, revision):
        info = HfApi(endpoint=endpoint(), token=False).model_info(
            name, revision=revision, files_metadata=True, timeout=TIMEOUT
        )
    if not info.sha or not _COMMIT.fullmatch(info.sha):
        raise EngineError("NETWORK", f"{endpoint()} doesn't say which commit '{revision}' is.", _by_hand())
    if _COMMIT.fullmatch(revision) and info.sha != revision:
        raise EngineError("NETWORK", f"{endpoint()} answers {info.sha} for {revision}.", _by_hand())
    listed = [
        _Listed(one.rfilename, int(one.size or 0), one.lfs.sha256 if one.lfs else "")
        for one in info.siblings or []
    ]
    return info.sha, listed


def _download(
    name: str, sha: str, files: Iterable[_Listed], into: Path, ctx: JobContext, start: float, end: float
) -> None:
    """Bring files into a folder, with progress in bytes."""
    files = list(files)
    total = sum(one.size for one in files) or 1
    before = background.bytes_in(into)
    report = ctx.part(start, end, f"Fetching {total / 1e6:.1f} MB")

    def work(stopped: Callable[[], bool]) -> None:
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.utils.tqdm import disable_progress_bars

        # plain HTTPS to one host: what proxies and firewalls let through, and what can be watched
        constants.HF_HUB_DISABLE_XET = True
        disable_progress_bars()
        for one in files:
            if stopped():
                return
            with _naming_errors(name, sha):
                hf_hub_download(
                    name,
                    one.name,
                    revision=sha,
                    local_dir=into,
                    endpoint=endpoint(),
                    token=False,
                    etag_timeout=TIMEOUT,
                )

    background.run_watched(work, ctx, lambda: report((background.bytes_in(into) - before) / total))


def _checked(folder: Path, files: Iterable[_Listed], ctx: JobContext) -> dict[str, str]:
    """SHA-256 of the files, compared with what the hub states."""
    found = {}
    for one in files:
        ctx.check_cancelled()
        if not (folder / one.name).is_file():
            raise EngineError("NETWORK", f"{one.name} didn't arrive.", "Run it again.")
        found[one.name] = store.file_hash(folder / one.name)
        if one.sha256 and found[one.name] != one.sha256:
            raise EngineError(
                "NETWORK", f"{one.name} arrived damaged (its checksum differs).", "Run it again."
            )
    return found


def _by_hand() -> str:
    return BY_HAND.format(folder=models_folder())


class _naming_errors:
    """Errors of the hub's library in our own words."""

    def __init__(self, name: str, revision: str) -> None:
        self.name, self.revision = name, revision

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from huggingface_hub import errors

        if error is None or isinstance(error, EngineError) or not isinstance(error, Exception):
            return
        if isinstance(error, errors.GatedRepoError):
            raise InputError(
                f"{self.name} is only given to people who log in and agree to its terms.", _by_hand()
            ) from error
        if isinstance(error, errors.RevisionNotFoundError):
            raise InputError(f"{self.name} has no revision '{self.revision}'.", "Check it.") from error
        if isinstance(error, errors.RepositoryNotFoundError):
            raise InputError(f"There is no model {self.name} at {endpoint()}.", "Check its name.") from error
        if isinstance(error, OSError) and not isinstance(error, errors.HfHubHTTPError) and error.errno == 28:
            return  # a full disk has its own words
        cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else None
        reason = str(cause or error).strip().splitlines()
        text = (reason[0] if reason else type(error).__name__)[:200]
        raise EngineError(
            "NETWORK", f"{self.name} can't be fetched from {endpoint()}: {text}.", _by_hand()
        ) from error
