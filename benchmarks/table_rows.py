"""Lines of the table (`table.py`): each function measures one group in interleaved runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import adaptation_speed
import busy as busy_machine
import mapping
import network
import parcels as parcel_reading
import photo_encoder
import roofline
import segmentation_speed
import sits_engine  # noqa: F401 - first: it sets how the threads of torch wait
import torch
from images import BANDS, as_copy, as_jpeg2000, make_series
from sits_engine.device import Device
from sits_engine.models import compiled

#: What the issue asks of the peak memory of a map, MiB, and of the share of the roofline of a graphics card.
MOST_MEMORY, ON_A_CARD = 1024, 0.4
COPY = "from a clipped copy in ZSTD"
ROWS_TO_COMPILE = compiled.ROWS


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        work: what is done.
        unit: of the rates, a second.
        against: the baseline in words.
        baseline, ours: rates (medians).
        ratio: median over the rounds of ours / baseline.
        goal: what the ratio must be at least; None: nothing was asked for.
        processor: the ratio of processor seconds, where it was measured.
        share, share_goal: of the roofline.
        share_of_processor: the same by processor seconds, which other programs disturb less.
    """

    work: str
    unit: str
    against: str
    baseline: float
    ours: float
    ratio: float
    goal: float | None = None
    processor: float | None = None
    share: float | None = None
    share_goal: float | None = None
    share_of_processor: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether all that was asked for holds; None where nothing was."""
        asked = [
            value is not None and value >= wanted
            for value, wanted in ((self.ratio, self.goal), (self.share, self.share_goal))
            if wanted is not None
        ]
        return all(asked) if asked else None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        rounds: interleaved rounds.
        available: threads.
        size: pixels a side of the images.
        folder: where images are kept.
        device: of the networks alone.
    """

    rounds: int
    available: int
    size: int
    folder: Path
    device: Device

    def goals(self, **on_a_processor: float) -> dict[str, float]:
        """What is asked of a network alone: on a card a share of the roofline, where any was asked for."""
        return on_a_processor if self.device.is_cpu or not on_a_processor else {"share_goal": ON_A_CARD}

    def by_processor(self, ratio: float, share: float) -> dict[str, float]:
        """Figures of processor seconds, which say nothing of a card."""
        return {"processor": ratio, "share_of_processor": share} if self.device.is_cpu else {}


def alone(
    settings: Settings, measured: tuple[Mapping[str, Any], str], work: str, unit: str
) -> Callable[..., Row]:
    """A maker of lines from what `network.measure` found; the ceiling is measured right after it."""
    found, how = measured
    ceiling = roofline.measure(settings.device, settings.available, 3)

    def row(form: str, operations: float, moved: float, label: str = "", **goals: Any) -> Row:
        figures = found[form]
        return Row(
            f"{work}{label}",
            unit,
            f"published form, eager, {how}",
            found[network.BASELINE]["per_second"],
            figures["per_second"],
            figures["ratio"],
            share=ceiling.share(figures["per_second"], operations, moved),
            **settings.by_processor(
                figures["ratio_of_processor_seconds"],
                ceiling.share_of_processor(figures["per_processor_second"], operations),
            ),
            **settings.goals(**goals),
        )

    return row


def pixels(settings: Settings) -> list[Row]:
    """PSE+LTAE on single pixels, network alone."""
    measured = network.pixels("standard", settings.rounds, settings.available, device=settings.device)
    row = alone(settings, measured, f"PSE+LTAE, pixels, {network.DATES} dates, network alone", "pixels")
    numbers = network.networks("standard")[2].hyperparameters
    operations = roofline.pseltae_operations(numbers, network.DATES)
    moved = network.DATES * (2 * network.BANDS + 1)
    rows = [row("ours", operations, moved, ", plain operators", goal=2.5)]
    if "ours, compiled" in measured[0]:
        rows.append(row("ours, compiled", operations, moved, ", C++ compiler", goal=4.0, share_goal=0.75))
    return rows


def parcels(settings: Settings) -> list[Row]:
    """PSE+LTAE on parcels, network alone."""
    measured = network.parcels("standard", settings.rounds, settings.available, device=settings.device)
    work = f"PSE+LTAE, parcels of {network.SET} pixels, {network.DATES} dates"
    row = alone(settings, measured, work, "parcels")
    numbers = network.networks("standard")[2].hyperparameters
    operations = roofline.pseltae_operations(numbers, network.DATES, network.SET)
    moved = network.SET * network.DATES * (4 * network.BANDS + 1)
    if "ours, compiled" not in measured[0]:
        return [row("ours", operations, moved, goal=4.5)]
    return [
        row("ours", operations, moved, ", plain operators"),
        row("ours, compiled", operations, moved, ", C++ compiler", goal=4.5),
    ]


def extraction(settings: Settings) -> list[Row]:
    """Pixels of parcels, against reading the same images and nothing more; then with the network."""
    from sits_engine.models.inference import Predictor
    from sits_engine.samples.parcels import ParcelOptions, collect
    from sits_engine.series.time_series import TimeSeries

    path = make_series(settings.folder, settings.size, 24)
    number = max(50, settings.size**2 // 600)
    fields = parcel_reading.field_layer(TimeSeries.open(path), number)
    predictor = Predictor.open(mapping.make_model(settings.folder, "standard"), network.CPU)
    torch.set_num_threads(settings.available)

    def extract() -> Any:
        return collect(TimeSeries.open(path), fields, list(BANDS), ParcelOptions(max_pixels=network.SET))[0]

    def seconds(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    sets = extract()
    forms: dict[str, Callable[[], object]] = {
        "read": lambda: parcel_reading.everything(TimeSeries.open(path)),
        "extract": extract,
        "classify": lambda: predictor.predict_sets(extract()),
    }
    found: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(settings.rounds):
        for name, work in forms.items():
            found[name].append(len(sets) / seconds(work))
    against = f"reading all of the images, {len(sets)} parcels of {sets.n_pixels.mean():.0f} pixels"
    rates = {name: statistics.median(values) for name, values in found.items()}

    def row(work: str, name: str, goal: float | None) -> Row:
        ratio = mapping.ratio(found[name], found["read"])
        return Row(work, "parcels", against, rates["read"], rates[name], ratio, goal)

    return [
        row("Parcels, extraction", "extract", 0.6),
        row("Parcels, extraction and network", "classify", None),
    ]


def training(settings: Settings) -> list[Row]:
    """Steps of PSE+LTAE."""
    measured = network.training("standard", settings.rounds, settings.available, device=settings.device)
    work = f"PSE+LTAE, training, batch {network.BATCH}, {network.TRAINING_DATES} dates, {network.SET} pixels"
    row = alone(settings, measured, work, "samples")
    numbers = network.networks("standard")[2].hyperparameters
    operations = roofline.training_operations(numbers, network.TRAINING_DATES, network.SET)
    moved = network.SET * network.TRAINING_DATES * (4 * network.BANDS + 1)
    return [row("ours", operations, moved, goal=7.0)]


def files(settings: Settings) -> list[Row]:
    """`mapcrops` from files to file, standard and fast, against the published form and trees."""
    series = make_series(settings.folder, settings.size, 24)
    widths = ["standard", "fast"]
    forms, words = mapping.forms(series, settings.folder, settings.size, widths, eager_rows=192)
    copy = as_copy(series)
    for width in widths:
        model = mapping.make_model(settings.folder, width)
        forms[f"copy {width}"] = partial(mapping.ours, copy, model, settings.folder / "copied.tif")
    for name in ("mapcrops", "copy"):  # compilers and caches
        forms[f"{name} fast"](), forms[f"{name} standard"]()
    busy: dict[str, list[float]] = {name: [] for name in forms}

    def counted(name: str) -> tuple[float, int]:
        began = time.process_time()
        seconds, pixels = forms[name]()
        busy[name].append(pixels / (time.process_time() - began))
        return seconds, pixels

    found = mapping.interleaved({name: partial(counted, name) for name in forms}, settings.rounds)
    rates = {name: statistics.median(values) for name, values in found.items()}

    def row(work: str, name: str, to: str, against: str, goal: float | None) -> Row:
        ratio, processor = (mapping.ratio(of[name], of[to]) for of in (found, busy))
        return Row(work, "pixels", against, rates[to], rates[name], ratio, goal, processor)

    eager = f"published form, eager, {words['eager']}"
    forest, boosted = f"random forest, {words['forest']}", f"XGBoost, {words['xgboost']}"
    alone_words = "the network alone, same pixels"
    standard, fast = "mapcrops standard", "mapcrops fast"
    return [
        row("Map, standard, files to file", standard, "eager", eager, 3.3),
        row("the same", standard, "alone standard", alone_words, 0.85),
        row("the same", standard, "forest", forest, None),
        row("the same", standard, "xgboost", boosted, None),
        row("Map, fast, files to file", fast, "xgboost", boosted, 1.2),
        row("the same", fast, "forest", forest, 2.0),
        row("the same", fast, "alone fast", alone_words, None),
        row(f"Map, standard, {COPY}", "copy standard", "alone standard", alone_words, 0.85),
        row(f"Map, fast, {COPY}", "copy fast", fast, "the same map from DEFLATE", None),
    ]


def encoder(settings: Settings) -> list[Row]:
    """Satellite encoder of TimeSenCLIP, published size."""
    work, how = photo_encoder.forms("standard", settings.available, settings.device)
    del work["ours, gaps"], work["ours, tile"]
    row = alone(
        settings, (network.measure(work, settings.rounds), how), "Satellite encoder, d = 512", "places"
    )
    operations = roofline.encoder_operations(photo_encoder.encoder("standard")[1].hyperparameters)
    return [row("ours", operations, 4 * 12 * photo_encoder.BANDS, goal=1.5, share_goal=0.9)]


def segmentation(settings: Settings) -> list[Row]:
    """TSViT and UNet3D, windows of a map."""
    rows = []
    for name, title, goals in (
        ("tsvit", "TSViT", {"goal": 1.4}),
        ("unet3d", "UNet3D", {"share_goal": 0.95}),
    ):
        side = segmentation_speed.networks(name)
        given, _ = side.windows(2)
        operations = roofline.counted(lambda s=side, g=given: s.ours(*g)) / 2
        plain, ours = segmentation_speed.map_forms(side, settings.available, settings.device)
        found = adaptation_speed.interleaved({**plain, **ours}, settings.rounds)
        rates = {form: 1 / statistics.median(wall for wall, _ in runs) for form, runs in found.items()}
        how = max(plain, key=lambda form: rates[form])
        clock, processor = adaptation_speed.ratio(found[how], found["ours"])
        ceiling = roofline.measure(settings.device, settings.available, 3)
        moved = side.dates * segmentation_speed.WINDOW**2 * (2 * network.BANDS + 1)
        share = ceiling.share(rates["ours"], operations, moved)
        work = f"{title}, windows of {segmentation_speed.WINDOW} pixels, {side.dates} dates"
        against = f"published form, eager, {how}"
        busy_rate = 1 / statistics.median(cpu for _, cpu in found["ours"])
        more = settings.by_processor(processor, ceiling.share_of_processor(busy_rate, operations))
        more |= settings.goals(**goals)
        rows.append(Row(work, "windows", against, rates[how], rates["ours"], clock, share=share, **more))
    return rows


def jpeg2000(settings: Settings) -> list[Row]:
    """The fast map from a tiled copy, against the same images in JPEG 2000."""
    series = make_series(settings.folder, 512, 12)
    model, output = mapping.make_model(settings.folder, "fast"), settings.folder / "copy.tif"
    compressed = as_jpeg2000(series)
    forms = {
        "copy": lambda: mapping.ours(series, model, output),
        "jpeg2000": lambda: mapping.ours(compressed, model, output),
    }
    forms["copy"]()
    found = mapping.interleaved(forms, settings.rounds)
    rates = {name: statistics.median(values) for name, values in found.items()}
    ratio = mapping.ratio(found["copy"], found["jpeg2000"])
    against = "the same map from JPEG 2000, 12 dates"
    work = "Map, fast, from a tiled copy"
    return [Row(work, "pixels", against, rates["jpeg2000"], rates["copy"], ratio, 2.5)]


def busy(settings: Settings) -> list[Row]:
    """The same map with another program at full load beside it."""
    size = min(settings.size, 512)
    found = busy_machine.measure(busy_machine.forms(settings.folder, size), max(2, settings.rounds // 2))
    return [
        Row(
            f"Map beside another program, {name}",
            "pixels",
            "the same on the machine as it was",
            quiet,
            loaded,
            loaded / quiet,
            busy_machine.WANTED if name == "mapcrops" else None,
        )
        for name, (quiet, loaded) in found.items()
    ]


def memory(settings: Settings) -> list[Row]:
    """Peak memory of a process that makes a map."""
    series = make_series(settings.folder, settings.size, 24)
    model = mapping.make_model(settings.folder, "standard")
    peak = mapping.peak(series, model, settings.folder / "memory.tif", settings.size)
    work = f"Memory of a map of {settings.size} x {settings.size} pixels, MiB"
    return [Row(work, "", "allowed", MOST_MEMORY, peak, MOST_MEMORY / peak, 1.0)]


#: Groups on any device, in the order of the table, and those of the CPU.
NETWORKS: Mapping[str, Callable[[Settings], list[Row]]] = {
    "pixels": pixels,
    "parcels": parcels,
    "training": training,
    "encoder": encoder,
    "segmentation": segmentation,
}
GROUPS: Mapping[str, Callable[[Settings], list[Row]]] = {
    **NETWORKS,
    "files": files,
    "extraction": extraction,
    "jpeg2000": jpeg2000,
    "busy": busy,
    "memory": memory,
}


def restored() -> None:
    """What a group may have left behind: when to compile."""
    compiled.ROWS = ROWS_TO_COMPILE
