"""Sharpening of masks: a classifier of single pixels learns from them and draws them anew, some rounds.

A mask from a window's ticks is wrong here and there, and has one score for several pixels. Over a whole
region the errors differ from window to window, what a crop looks like doesn't: a small network that learns
all masks together can't learn the errors, and answers pixel by pixel. Only crops that are ticked in the
polygon may win in it, so ticks stay the only labels. Its probabilities are multiplied by the scores of the
maps that the first masks come from: those know the neighbourhood, a single pixel doesn't, and rounds don't
drift away from them. Our addition; Exact has nothing of the kind.

Rare crops have few pixels to learn from, and each round repeats what the last one lost. So frequent classes
are drawn less often than they are frequent, and a crop that would lose most of its pixels keeps those that
were drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.device import Device
from sits_engine.learning.exact.draws import draws
from sits_engine.models.card import BandCard
from sits_engine.samples.bags import Bags

Progress = Callable[[float], None]
#: Windows (a slice of them) -> (n, K + 1, H, W) scores of the maps, those of a pixel sum to 1.
Scores = Callable[[slice], Tensor]
Labels = npt.NDArray[np.int16]
#: Windows whose series are brought to common days, or judged, at once.
AT_ONCE = 16
#: Pixels of a step, about.
BATCH = 2048
#: Fewest and most steps of a round. After 60 steps crops of a hundred pixels aren't learned yet.
STEPS = (300, 2000)
#: Least score of a class: maps are coarser than fields, so a 0 of theirs is no proof.
LEAST_SCORE = 1e-3


@dataclass(frozen=True)
class RefineSettings:
    """How masks are sharpened.

    Attributes:
        rounds: how often the network learns from its own masks; 0: masks stay as they are.
        n_days: days, evenly over the season, that series of pixels are brought to.
        hidden: width of the network.
        passes: how often each round sees as many pixels as lie inside, within `STEPS`.
        learning_rate: highest.
        sure: of the later rounds, the least probability of a pixel that is learned from.
        neighbourhood: side of the square over which probabilities are averaged, odd; 1: not.
        evenness: classes are drawn with n ** (1 - evenness) of their n pixels; 0: as they are, 1: evenly.
        maps: exponent of the maps' scores in the product with the probabilities; 0: they have no say.
        least_kept: a crop that has a smaller share of the number of its pixels after a round keeps those
            that were drawn; 0: the network alone decides.
    """

    rounds: int = 5
    n_days: int = 14
    hidden: int = 64
    passes: int = 6
    learning_rate: float = 3e-3
    sure: float = 0.6
    neighbourhood: int = 3
    evenness: float = 0.5
    maps: float = 1.0
    least_kept: float = 0.25


@dataclass
class Refined:
    """Masks that were drawn anew.

    Attributes:
        labels: (N, H, W) place of the class, K background, -1 outside of the polygon.
        confidence: (N, H, W) 1 - second best / best product of probability and score; 0 outside.
        kept: (N, H, W) pixels that stayed as they were given, of crops that the network would have lost.
    """

    labels: Labels
    confidence: npt.NDArray[np.float32]
    kept: npt.NDArray[np.bool_]


def refined_masks(
    labels: Labels,
    bags: Bags,
    bands: list[BandCard],
    settings: RefineSettings,
    device: Device,
    *,
    seed: int,
    scores: Scores | None = None,
    progress: Progress = lambda share: None,
) -> Refined:
    """Learn masks, draw them anew.

    Args:
        labels: (N, H, W) place of the class, K background, -1 not learned from.
        bags: the same windows; crops that aren't ticked never win.
        bands: normalisation, in the order of the windows' bands.
        settings: see there.
        seed: same seed on a CPU, same masks.
        scores: of the maps; None: only the masks are known.
        progress: gets the done share in every step; may raise to cancel.
    """
    series = daily_series(bags, bands, settings.n_days, lambda share: progress(0.2 * share))
    n, height, width, _ = series.shape
    inside = torch.from_numpy(bags.inside)
    n_classes = bags.present.shape[1]
    # of all pixels inside: whether one more is learned from changes no step of the others
    steps = max(STEPS[0], min(STEPS[1], settings.passes * int(inside.sum()) // BATCH))
    allowed = F.pad(torch.from_numpy(bags.present), (0, 1), value=True)
    drawn = torch.from_numpy(labels.astype(np.int64))
    target, kept = drawn, torch.zeros(labels.shape, dtype=torch.bool)
    sure = torch.ones(labels.shape)
    shares = torch.zeros(n, n_classes + 1, height, width)
    for number in range(settings.rounds):
        learned = ((target >= 0) & inside & (sure >= (settings.sure if number else 0.0))).flatten()

        def part(share: float, number: int = number) -> None:
            progress(0.2 + 0.8 * (number + share) / settings.rounds)

        network = _learn(
            series, target.flatten(), learned, n_classes + 1, steps, settings, device, seed + number, part
        )
        with torch.no_grad():
            for at in range(0, n, AT_ONCE):
                part(0.8 + 0.2 * at / n)
                here = slice(at, at + AT_ONCE)
                logits = network(series[here].to(device.torch).float()).permute(0, 3, 1, 2).cpu()
                logits = logits.masked_fill(~allowed[here, :, None, None], -torch.inf)
                found = _smooth(logits.softmax(1), inside[here], settings.neighbourhood)
                if scores is not None:
                    found = found * scores(here).clamp_min(LEAST_SCORE) ** settings.maps
                    found = found / found.sum(1, keepdim=True)
                shares[here] = found
        sure, found = shares.max(1)
        kept = _lost(drawn, found.masked_fill(~inside, -1), n_classes, settings.least_kept) & inside
        target = torch.where(kept, drawn, found)
        # the next round learns crops again that this one has lost
        sure = sure.masked_fill(kept, 1.0)
    top = shares.topk(2, dim=1).values
    confidence = torch.where(inside, 1 - top[:, 1] / top[:, 0].clamp_min(1e-8), 0.0)
    new = target.masked_fill(~inside, -1).numpy().astype(np.int16)
    return Refined(new, confidence.numpy(), kept.numpy())


def daily_series(
    bags: Bags, bands: list[BandCard], n_days: int, progress: Progress = lambda share: None
) -> Tensor:
    """Series of every pixel on the same days, from clear dates near each day.

    Args:
        bags: windows.
        bands: normalisation.
        n_days: evenly from the first to the last date.

    Returns:
        (N, H, W, n_days * C) float16, normalised; 0 for pixels that are never clear.
    """
    windows = bags.windows
    n, dates, n_bands, height, width = windows.values.shape
    mean, std = (torch.tensor([getattr(b, name) for b in bands])[:, None] for name in ("mean", "std"))
    out = torch.zeros(n, height, width, n_days * n_bands, dtype=torch.float16)
    for i in range(n):
        if i % AT_ONCE == 0:
            progress(i / n)
        positions = torch.from_numpy(windows.positions[i].astype(np.float32))
        days = torch.linspace(float(positions[0]), float(positions[-1]), n_days)
        spread = max(1.0, float(days[-1] - days[0]) / max(1, n_days - 1))
        near = torch.exp(-(((days[:, None] - positions) / spread) ** 2) / 2) + 1e-9  # far dates: last resort
        clear = torch.from_numpy(windows.valid[i].reshape(dates, -1)).float()
        values = torch.from_numpy(windows.values[i].reshape(dates, n_bands, -1))
        values = (values - mean) / std * clear[:, None]
        weight = near @ clear
        summed = torch.einsum("dt,tcp->dcp", near, values)
        filled = summed / weight.clamp_min(1e-12)[:, None]
        out[i] = filled.flatten(0, 1).T.reshape(height, width, -1).to(torch.float16)
    return out


def _learn(
    series: Tensor,
    target: Tensor,
    learned: Tensor,
    n_classes: int,
    steps: int,
    settings: RefineSettings,
    device: Device,
    seed: int,
    progress: Progress,
) -> nn.Module:
    """A network of single pixels: (..., F) -> (..., K + 1)."""
    torch.manual_seed(seed)
    width = settings.hidden
    network = nn.Sequential(
        nn.Linear(series.shape[-1], width),
        nn.GELU(),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, n_classes),
    ).to(device.torch)
    places = learned.nonzero()[:, 0]
    if not len(places):
        return network.eval()
    rows = series.flatten(0, 2)
    drawn = draws(
        places.numpy(), target[places].numpy(), n_classes,
        evenness=settings.evenness, steps=steps, batch=BATCH, seed=seed,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps + 1)
    for step, pixels in enumerate(drawn):
        progress(0.8 * step / steps)
        chosen = torch.from_numpy(pixels)
        logits = network(rows[chosen].to(device.torch).float())
        loss = F.cross_entropy(logits, target[chosen].to(device.torch))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def _lost(drawn: Tensor, found: Tensor, n_classes: int, least: float) -> Tensor:
    """Pixels of crops (places 0..n_classes - 1, no background) with less than that share of their number.

    `drawn` and `found`: classes of pixels of one shape, -1 of none; the answer has their shape.
    """
    before, after = (
        torch.bincount(labels[(labels >= 0) & (labels < n_classes)], minlength=n_classes)
        for labels in (drawn, found)
    )
    # the last place: pixels of no crop
    lost = F.pad(after < least * before, (0, 1), value=False)
    crop = (drawn >= 0) & (drawn < n_classes)
    answer: Tensor = lost[torch.where(crop, drawn, n_classes)]
    return answer


def _smooth(shares: Tensor, inside: Tensor, side: int) -> Tensor:
    """Mean of the pixels inside in a square around each: (B, K, H, W)."""
    if side == 1:
        return shares
    mask = inside[:, None].float()
    total = F.avg_pool2d(shares * mask, side, 1, side // 2, divisor_override=1)
    count = F.avg_pool2d(mask, side, 1, side // 2, divisor_override=1)
    return torch.where(mask > 0, total / count.clamp_min(1), shares)
