"""Texts and photos to unit vectors with a frozen CLIP model from a local folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.device import Device, threads
from sits_engine.errors import InputError
from sits_engine.models.clip.folder import FAMILIES, ClipFolder, check_folder
from sits_engine.models.precision import half_type, mixed
from sits_engine.samples.photos_image import PhotoProblem, open_photo

Floats = npt.NDArray[np.float32]
BATCH_CPU, BATCH_GPU = 16, 256
#: Threads that decode photos; more than this a card can't use.
DECODERS = 8


@dataclass
class Images:
    """What became of photos.

    Attributes:
        vectors: (M, dim) float32, unit length.
        kept: (M,) places among the paths that were given, rising.
        problems: a sentence for each photo that couldn't be used, with its file.
    """

    vectors: Floats
    kept: npt.NDArray[np.int64]
    problems: list[str] = field(default_factory=list)


def no_progress(_fraction: float) -> None:
    """Progress that nobody watches."""


class ClipEncoder:
    """A frozen CLIP model, its weights loaded when first needed; safe to call from several threads.

    Nothing is fetched and no code of the folder is run. Photos are scaled, cropped and normalised as the
    folder says; a large JPEG is decoded at a fraction of its size before (`samples/photos_image.py`).

    Attributes:
        name: of the folder.
        fingerprint: hex, by content: of configuration, tokenizer and weights.
        dim: length of the vectors.
        max_tokens: of a text, with start and end.
    """

    def __init__(self, folder: ClipFolder, device: Device) -> None:
        self.folder = folder
        self.device = device
        self.name = folder.path.resolve().name
        self.fingerprint, self.dim, self.max_tokens = folder.fingerprint, folder.dim, folder.max_tokens
        self.batch = BATCH_CPU if device.is_cpu else BATCH_GPU
        self._lock = threading.RLock()
        self._parts: dict[str, Any] = {}

    @classmethod
    def open(cls, folder: Path, device: Device) -> Self:
        """Check a folder (`check_folder`: an incomplete one or another architecture is an InputError)."""
        return cls(check_folder(Path(folder).expanduser()), device)

    @property
    def precision(self) -> str:
        """Type of the numbers, e.g. 'float32': vectors of different types are not mixed in the cache."""
        return str(half_type(self.device) or torch.float32).removeprefix("torch.")

    @property
    def photo_key(self) -> str:
        """What a photo's vector depends on beside the photo and `fingerprint`."""
        return f"{self.precision} {self.folder.preprocessing}"

    def texts(self, texts: Sequence[str]) -> Floats:
        """Vectors (N, dim) float32 of unit length; for the cached form see `text_vectors`.

        Raises:
            InputError: a text is longer than the model reads; names it, its tokens and the limit.
        """
        self.check_lengths(texts)
        parts = []
        for start in range(0, len(texts), 64):
            some = list(texts[start : start + 64])
            whole = {"padding": "max_length", "max_length": self.max_tokens}
            padding = whole if FAMILIES[self.folder.family] else {"padding": True}
            tokens = self._tokenizer()(some, return_tensors="pt", **padding)
            given = {"input_ids": tokens["input_ids"]}
            if self.folder.family == "clip":
                given["attention_mask"] = tokens["attention_mask"]
            parts.append(self._run("get_text_features", **given))
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)

    def check_lengths(self, texts: Sequence[str]) -> None:
        """Raise the InputError of `texts` for a text that is too long; loads the tokenizer only."""
        if not texts:
            return
        for text, ids in zip(texts, self._tokenizer()(list(texts), verbose=False)["input_ids"], strict=True):
            if len(ids) > self.max_tokens:
                shown = text if len(text) <= 120 else text[:117] + "..."
                raise InputError(
                    f"This text is too long for {self.name}: it has {len(ids)} tokens (with start and end), "
                    f"the model reads {self.max_tokens}: '{shown}'.",
                    "Shorten it, or split it into several texts of the same class.",
                    text=text,
                    tokens=len(ids),
                    limit=self.max_tokens,
                )

    def images(self, paths: Sequence[Path], progress: Callable[[float], None] = no_progress) -> Images:
        """Vectors of photos; for the cached form see `photo_vectors`.

        Raises:
            InputError: there are paths, and none of them is a photo that can be read.
        """
        return collect(paths, self.stream(paths), self.dim, progress)

    def stream(self, paths: Sequence[Path]) -> Iterator[tuple[list[int], Floats, list[str]]]:
        """Batches: places among the paths, their vectors, problems of others; decoded ahead in threads."""
        if not paths:
            return
        workers = min(DECODERS, threads(), len(paths))
        edge = self._edge()
        with ThreadPoolExecutor(workers, thread_name_prefix="photos") as pool:
            waiting: list[tuple[int, Future[Tensor]]] = []
            following = 0
            try:
                while following < len(paths) or waiting:
                    # one batch is computed while the next is decoded, and no more lies in memory
                    while following < len(paths) and len(waiting) < 2 * self.batch:
                        waiting.append((following, pool.submit(self._decode, paths[following], edge)))
                        following += 1
                    some, waiting = waiting[: self.batch], waiting[self.batch :]
                    yield self._finish(some)
            finally:
                for _, future in waiting:
                    future.cancel()

    def _finish(self, some: list[tuple[int, Future[Tensor]]]) -> tuple[list[int], Floats, list[str]]:
        places, pixels, problems = [], [], []
        for place, future in some:
            try:
                pixels.append(future.result())
                places.append(place)
            except PhotoProblem as problem:
                problems.append(str(problem))
        if not pixels:
            return [], np.empty((0, self.dim), np.float32), problems
        return places, self._run("get_image_features", pixel_values=torch.stack(pixels)), problems

    def _decode(self, path: Path, edge: int) -> Tensor:
        image = open_photo(path, edge)
        made = self._processor()(images=image, return_tensors="np")["pixel_values"][0]
        return torch.from_numpy(np.ascontiguousarray(made, dtype=np.float32))

    def _edge(self) -> int:
        """Pixels of the shorter side that the preprocessing needs."""
        processor = self._processor()
        size, crop = dict(processor.size), dict(getattr(processor, "crop_size", None) or {})
        return max(int(value) for value in (*size.values(), *crop.values()))

    def _run(self, method: str, **given: Tensor) -> Floats:
        model = self._model()
        try:
            with torch.inference_mode(), mixed(self.device):
                moved = {name: self._moved(value) for name, value in given.items()}
                found = torch.nn.functional.normalize(getattr(model, method)(**moved).float(), dim=-1)
                return found.cpu().numpy()
        except torch.OutOfMemoryError:
            rows = len(next(iter(given.values())))
            if rows == 1:
                raise
            torch.cuda.empty_cache()
            self.batch = max(1, rows // 2)
        halves = [{name: value[part] for name, value in given.items()} for part in _halves(rows)]
        return np.concatenate([self._run(method, **half) for half in halves])

    def _moved(self, value: Tensor) -> Tensor:
        if self.device.torch.type == "cuda":
            return value.pin_memory().to(self.device.torch, non_blocking=True)
        return value.to(self.device.torch)

    def _part(self, name: str, load: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._parts:
                self._parts[name] = load()
            return self._parts[name]

    def _tokenizer(self) -> Any:
        from sits_engine.models.clip import loading

        return self._part("tokenizer", lambda: loading.tokenizer(self.folder))

    def _processor(self) -> Any:
        from sits_engine.models.clip import loading

        return self._part("processor", lambda: loading.processor(self.folder))

    def _model(self) -> Any:
        from sits_engine.models.clip import loading

        return self._part("model", lambda: loading.network(self.folder).to(self.device.torch))


def _halves(rows: int) -> tuple[slice, slice]:
    return slice(0, rows // 2), slice(rows // 2, rows)


def collect(
    paths: Sequence[Path],
    stream: Iterator[tuple[list[int], Floats, list[str]]],
    dim: int,
    progress: Callable[[float], None],
) -> Images:
    """Put batches together, in the order of the paths.

    Raises:
        InputError: there are paths, and nothing came of any.
    """
    vectors = np.empty((len(paths), dim), np.float32)
    there = np.zeros(len(paths), bool)
    problems: list[str] = []
    for places, found, new in stream:
        vectors[places], there[places] = found, True
        problems += new
        progress((int(there.sum()) + len(problems)) / len(paths))
    if len(paths) and not there.any():
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(
            f"None of the {len(paths)} photos can be read. {problems[0]}{more}",
            "Check the folder and the field with the paths of the photos.",
            problems=problems[:20],
        )
    return Images(vectors[there], np.flatnonzero(there), problems)
