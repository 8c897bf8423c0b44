"""Words and photos on the simulated region: zero-shot accuracy and recall of the satellite encoder.

    PYTHONPATH=engine python benchmarks/photo_demo.py [--seeds 3] [--out build/photos] [--effort quick]

Region A of `sits demo --photo-places 400`: 400 places with four drawn photos each. The toy CLIP learned from
the photos and captions of region B only. The satellite encoder learns from images and photos of the training
blocks of region A (`trainphotomodel`; no class, caption or test block takes part). Scored on the test blocks:
the places with photos there, and 2,000 pure pixels. Classes are words: names (C), templates (G) and sentences
(D) that are no caption of training; that is checked. Beside it what labels of the same training places give:
logistic regression on the same composites, and the same encoder trained with cross-entropy ('supervised').

Everything is made in --out once; a finished run is kept there as JSON, and a later call adds what is missing.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import sits_engine  # noqa: F401  (before torch: sets how its threads wait)
import torch
from pyproj import Transformer
from sits_engine import device as devices
from sits_engine.context import JobContext
from sits_engine.evaluation.photo_scores import pooled, recalls, zero_shot
from sits_engine.jobs import job_class
from sits_engine.learning.timesenclip.batches import normalisation
from sits_engine.learning.timesenclip.masking import draw, masked
from sits_engine.models.clip import ClipEncoder, photo_vectors
from sits_engine.models.clip.prompts import class_vectors, read_classes
from sits_engine.models.clip.toy import read_captions
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.timesenclip.steps import aggregated
from sits_engine.samples.composites import Composites, cut_composites
from sits_engine.samples.photo_pixels import PhotoPixels, common_bands, photo_pixels
from sits_engine.samples.photos import PhotoOptions, read_photos
from sits_engine.series.simulate.photos_words import PHOTO_CLASSES, TEST
from sits_engine.series.time_series import TimeSeries
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

STEPS = (12, 4, 1)
BLOCK = 640.0
PIXELS = 2000
MASKINGS = ("mixed", "none")
SUPERVISED_STEPS, SUPERVISED_BATCH = 600, 128


class Quiet(JobContext):
    """Says nothing but warnings."""

    def warn(self, text: str) -> None:
        """Print it."""
        print("warning:", text)


def prepared(out: Path) -> tuple[Path, Path]:
    """Demo folder and series of region A; what is missing is made."""
    demo, series = out / "demo", out / "a.json"
    if not (demo / "clip" / "config.json").exists():
        job_class("createdemodata").parse({"output_folder": str(demo), "photo_places": 400}).run(Quiet())
    if not series.exists():
        inputs = {"input_folder": str(demo / "region_a" / "images"), "output": str(series)}
        job_class("buildtimeseries").parse(inputs).run(Quiet())
    return demo, series


def words(encoder: ClipEncoder, known: set[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Class vectors (13, dim) of each kind of prompts; none of the prompts may be among `known` captions."""
    names = "\n".join(PHOTO_CLASSES)
    plain = (wording for wording in TEST if "{stage}" not in wording)
    told = [wording.replace(", {stage}", "") for wording in TEST if "{stage}" in wording]
    sentences = [*plain, *told]
    described = "\n".join(
        f"{name}: {'; '.join(s.format(name=name) for s in sentences)}" for name in PHOTO_CLASSES
    )
    kinds = {
        "C": read_classes(names, None, "name"),
        "G": read_classes(names, None, "Generic"),
        "D": read_classes(described, None, "name"),
    }
    for classes in kinds.values():
        for prompts in classes.prompts:
            assert not known & set(prompts), "a prompt of the test is a caption of training"
    return {kind: class_vectors(encoder, classes) for kind, classes in kinds.items()}


def places_of(demo: Path, series: TimeSeries, split: str) -> PhotoPixels:
    """Places of a split with composites and photos."""
    photos = read_photos(str(demo / "region_a" / f"photos_{split}.gpkg"), PhotoOptions(place_field="place"))
    return photo_pixels([series], photos, common_bands([series], []), 1)


def labels_of(places: PhotoPixels) -> npt.NDArray[np.int64]:
    """Numbers of the classes of places."""
    return np.array([PHOTO_CLASSES.index(name) for name in places.photos.labels["class"]])


def test_pixels(
    demo: Path, series: TimeSeries, places: PhotoPixels
) -> tuple[Composites, npt.NDArray[np.int64]]:
    """Random pure pixels of the test blocks, and their classes."""
    with rasterio.open(demo / "region_a" / "truth.tif") as file:
        truth, share = file.read()
        tags, transform, crs = file.tags(1), file.transform, file.crs
    values = {tags[f"class_{value}"]: value for value in range(1, 16)}
    number = np.full(256, -1)
    for place, name in enumerate(PHOTO_CLASSES):
        number[values[name]] = place
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(*places.photos.xy.T)
    blocks = {(a, b) for a, b in zip(np.floor(x / BLOCK), np.floor(y / BLOCK), strict=True)}
    rows, cols = np.nonzero((share == 100) & (number[truth] >= 0))
    east, north = transform * (cols + 0.5, rows + 0.5)
    cells = zip(np.floor(east / BLOCK), np.floor(north / BLOCK), strict=True)
    inside = np.flatnonzero([cell in blocks for cell in cells])
    chosen = np.random.default_rng(0).choice(inside, min(PIXELS, len(inside)), replace=False)
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(east[chosen], north[chosen])
    found = cut_composites(series, np.stack([lon, lat], axis=1), common_bands([series], []), 1)
    return found, number[truth[rows[chosen], cols[chosen]]][found.rows]


def trained(demo: Path, series: Path, out: Path, masking: str, seed: int, args: argparse.Namespace) -> Path:
    """The model of one run, by the job that users run."""
    path = out / f"model_{args.effort}_{masking}_{seed}.safetensors"
    if not path.exists():
        inputs = {
            "series": [str(series)],
            "photos": str(demo / "region_a" / "photos_train.gpkg"),
            "place_field": "place",
            "clip": str(demo / "clip"),
            "output": str(path),
            "masking": masking,
            "split": "none",
            "effort": args.effort,
            "batch_size": args.batch_size,
            "seed": seed,
            "device": args.device,
        }
        job_class("trainphotomodel").parse(inputs).run(Quiet())
    return path


def scores_of(
    path: Path,
    device: devices.Device,
    classes: dict[str, npt.NDArray[np.float32]],
    sets: dict[str, tuple[Composites, npt.NDArray[np.int64]]],
    photos: npt.NDArray[np.float32],
) -> list[dict[str, Any]]:
    """Zero-shot scores on places and pixels, and recall between places and their photos."""
    first = EmbeddingPredictor.open(path, device)
    rows: list[dict[str, Any]] = []
    for steps in STEPS:
        one = EmbeddingPredictor(first.module, first.card, device, steps=steps)
        for where, (composites, labels) in sets.items():
            seen = one.embed(composites)
            for kind, vectors in classes.items():
                for found in zero_shot(seen, vectors, labels, task=where, steps=steps, prompts=kind):
                    rows.append(
                        {
                            "where": where,
                            "steps": steps,
                            "prompts": kind,
                            "scoring": found.scoring,
                            "accuracy": found.accuracy,
                            "mean_class": found.mean_class,
                            "majority": found.majority,
                            "n": found.n,
                        }
                    )
            if where == "places":
                for each in recalls(seen, photos, {"class": labels}, steps):
                    row = {"what": each.what, "steps": steps, "direction": each.direction}
                    rows.append(row | {"recall_1": each.at[1], "chance": each.chance[1], "n": each.n})
    return rows


def supervised(
    train: PhotoPixels,
    labels: npt.NDArray[np.int64],
    sets: dict[str, tuple[Composites, npt.NDArray[np.int64]]],
    dim: int,
    seed: int,
) -> list[dict[str, Any]]:
    """The same encoder with a linear layer, cross-entropy on the training places' labels, masking 'mixed'."""
    from sits_engine.models.registry import timesenclip_hyperparameters

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    composites = train.composites
    bands = normalisation(composites, np.arange(len(composites)), list(composites.bands))
    mean = torch.tensor([b.mean for b in bands])[:, None, None]
    std = torch.tensor([b.std for b in bands])[:, None, None]
    module = SatelliteEncoder(**timesenclip_hyperparameters(len(bands), embedding=dim, width="small"))
    module.start_with_calendar()
    head = torch.nn.Linear(dim, len(PHOTO_CLASSES))
    parameters = [*module.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-3, total_steps=SUPERVISED_STEPS, cycle_momentum=False
    )
    images = ((torch.from_numpy(composites.values) - mean) / std).clamp(0, 1)
    valid, target = torch.from_numpy(composites.valid), torch.from_numpy(labels)
    module.train()
    for _ in range(SUPERVISED_STEPS):
        chosen = torch.from_numpy(rng.choice(len(labels), min(SUPERVISED_BATCH, len(labels)), replace=False))
        chance = draw("mixed", len(chosen), len(bands), rng)
        loss = functional.cross_entropy(
            head(module(*masked(images[chosen], valid[chosen], chance))), target[chosen]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    module.eval()
    rows = []
    for where, (found, truth) in sets.items():
        seen = ((torch.from_numpy(found.values) - mean) / std).clamp(0, 1)
        for steps in STEPS:
            with torch.inference_mode():
                given, used = aggregated(seen, torch.from_numpy(found.valid), steps)
                months = module.months_of(steps).expand(len(given), steps)
                said = head(module(given, months, used)).argmax(dim=1).numpy()
            rows.append({"where": where, "steps": steps, **_accuracies(said, truth)})
    return rows


def logistic(
    train: PhotoPixels,
    labels: npt.NDArray[np.int64],
    sets: dict[str, tuple[Composites, npt.NDArray[np.int64]]],
) -> list[dict[str, Any]]:
    """Logistic regression on composites reduced to 12, 4 or 1 steps, missing ones filled with the mean."""
    rows = []
    for steps in STEPS:
        scale = StandardScaler()
        first = _flat(train.composites, steps)
        seen = ~np.isnan(first).all(axis=0)  # months that the series doesn't have
        given = scale.fit_transform(first[:, seen])
        model = LogisticRegression(C=0.3, max_iter=2000).fit(np.nan_to_num(given), labels)
        for where, (found, truth) in sets.items():
            said = model.predict(np.nan_to_num(scale.transform(_flat(found, steps)[:, seen])))
            rows.append({"where": where, "steps": steps, **_accuracies(said, truth)})
    return rows


def _flat(composites: Composites, steps: int) -> npt.NDArray[np.float32]:
    """(N, steps * C), NaN where a step is missing."""
    given, valid = torch.from_numpy(composites.values), torch.from_numpy(composites.valid)
    values, used = aggregated(given, valid, steps)
    flat = values.flatten(2).masked_fill(~used[..., None], float("nan"))
    return flat.flatten(1).numpy()


def _accuracies(said: npt.NDArray[Any], truth: npt.NDArray[np.int64]) -> dict[str, float]:
    right = said == truth
    mean = float(np.mean([right[truth == kind].mean() for kind in np.unique(truth)]))
    return {"accuracy": float(right.mean()), "mean_class": mean, "n": len(truth)}


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/photos"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--maskings", nargs="+", default=list(MASKINGS))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    demo, series_path = prepared(args.out)
    device = devices.select(args.device)
    series = TimeSeries.open(series_path)
    clip = ClipEncoder.open(demo / "clip", device)
    _, captions, _ = read_captions(demo / "region_b" / "captions.csv", "train")
    classes = words(clip, {text for some in captions for text in some})
    test, train = places_of(demo, series, "test"), places_of(demo, series, "train")
    images = photo_vectors(clip, test.photos.paths)
    photos = pooled(images.vectors, test.photos.place[images.kept], len(test))
    sets = {
        "places": (test.composites, labels_of(test)),
        "pixels": test_pixels(demo, series, test),
    }

    def kept(name: str, make: Any) -> Any:
        path = args.out / f"{name}.json"
        if not path.exists():
            started = time.process_time()
            found = {"rows": make(), "cpu_seconds": round(time.process_time() - started)}
            path.write_text(json.dumps(found, indent=1))
            print(name, "done,", found["cpu_seconds"], "s of processor time", flush=True)
        return json.loads(path.read_text())["rows"]

    on_photos = []
    for kind, vectors in classes.items():
        truth = sets["places"][1]
        each = images.vectors, truth[test.photos.place[images.kept]]
        on_photos.append(
            {"prompts": kind, "what": "photos", **_accuracies((each[0] @ vectors.T).argmax(1), each[1])}
        )
        on_photos.append(
            {"prompts": kind, "what": "places", **_accuracies((photos @ vectors.T).argmax(1), truth)}
        )
    (args.out / "clip_on_photos.json").write_text(json.dumps(on_photos, indent=1))
    print(*on_photos, sep="\n")
    runs: dict[str, list[list[dict[str, Any]]]] = {}
    logistic_rows = kept("logistic", lambda: logistic(train, labels_of(train), sets))
    runs["logistic regression"] = [logistic_rows]
    for seed in range(1, args.seeds + 1):
        for masking in args.maskings:

            def one(masking: str = masking, seed: int = seed) -> list[dict[str, Any]]:
                path = trained(demo, series_path, args.out, masking, seed, args)
                return scores_of(path, device, classes, sets, photos)

            rows = kept(f"run_{args.effort}_{masking}_{seed}", one)
            runs.setdefault(f"photos, masking {masking}", []).append(rows)
        rows = kept(
            f"supervised_{seed}", lambda seed=seed: supervised(train, labels_of(train), sets, clip.dim, seed)
        )
        runs.setdefault("labels, same encoder", []).append(rows)
    show(runs)


def show(runs: dict[str, list[list[dict[str, Any]]]]) -> None:
    """Mean and spread over the seeds, as Markdown."""
    keys = ("where", "what", "prompts", "scoring", "direction")
    for name, seeds in runs.items():
        print(f"\n### {name} ({len(seeds)} seeds)")
        table: dict[tuple[str, str], list[str]] = {}
        for number, row in enumerate(seeds[0]):
            for measure in ("accuracy", "mean_class", "recall_1"):
                if measure in row:
                    every = [100 * rows[number][measure] for rows in seeds]
                    what = " ".join(str(row[key]) for key in keys if key in row)
                    spread = f" ± {np.std(every, ddof=1):.1f}" if len(every) > 1 else ""
                    table.setdefault((what, measure), []).append(f"{np.mean(every):.1f}{spread}")
        print("| what | measure | T = 12 | T = 4 | T = 1 |\n|---|---|---|---|---|")
        for (what, measure), values in table.items():
            print(f"| {what} | {measure} | {' | '.join(values)} |")


if __name__ == "__main__":
    main()
