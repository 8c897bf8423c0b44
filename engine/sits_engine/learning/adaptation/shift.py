"""Which shift of its dates makes a region look most like the one a model was trained on; no labels needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.device import Device
from sits_engine.errors import InputError, ModelError
from sits_engine.learning.adaptation import shift_scores
from sits_engine.learning.adaptation.shifted_attention import ShiftedAttention
from sits_engine.learning.adaptation.summary import ESTIMATORS, ShiftCurves
from sits_engine.learning.transforms import Collator, Sampling
from sits_engine.models import eval_form, workers
from sits_engine.models.card import BandCard, ModelCard
from sits_engine.models.pseltae import PSELTAE
from sits_engine.samples.pixel_sets import PixelSets

#: Sets looked at: the published 100 batches of 128, fewer where there are fewer.
MOST_SETS = 12_800
#: Pixels of a set that are looked at (published).
PIXELS = 64
#: Sets times shifts computed together: what stays in the cache of a core, and what fills a card.
PAIRS_CPU, PAIRS_GPU = 1024, 2**16
#: Sets read and encoded together, and the batches of them that each worker is given at once.
SETS_CPU, SETS_GPU, ROUND = 64, 4096, 4
#: Fewest sets that a distribution of predictions can be made of.
FEWEST_SETS = 10


def search_range(max_shift: int, sign: int = 0) -> npt.NDArray[np.int64]:
    """Whole days from -max_shift to max_shift; with a sign, only 0 and days of that sign."""
    low, high = (0 if sign > 0 else -max_shift), (0 if sign < 0 else max_shift)
    return np.arange(low, high + 1, dtype=np.int64)


class ShiftTable:
    """Class probabilities of the same target sets under many shifts.

    Each set goes through the pixel-set encoder once; all shifts are computed from there together
    (`shifted_attention`), in batches on several threads.

    Args:
        target: sets; labels are not looked at.
        bands: normalisation of the model.
        device: where to compute.
        mask_dates: as the model's card says.
        seed: of the draw of pixels and of sets, where there are more than `MOST_SETS`.
        most: sets to look at.
    """

    def __init__(
        self,
        target: PixelSets,
        bands: Sequence[BandCard],
        device: Device,
        *,
        mask_dates: bool = True,
        seed: int = 1,
        most: int = MOST_SETS,
    ) -> None:
        rng = np.random.default_rng(seed)
        n = len(target)
        if n < FEWEST_SETS:
            raise InputError(
                f"The target holds {n} samples; a shift can't be estimated from fewer than {FEWEST_SETS}.",
                "Give more parcels, or draw more pixels (N_PIXELS) in a larger region.",
            )
        self.index = np.sort(rng.choice(n, most, replace=False)) if n > most else np.arange(n)
        self._target, self._device, self._seed = target, device, seed
        pixels = int(min(PIXELS, target.n_pixels.max()))
        self._collate = Collator(
            target, bands, Sampling(pixels=pixels, dates=None, small_share=0.0, mask_dates=mask_dates)
        )
        # neighbours in this order have series of similar length, and sets of similar size
        order = np.lexsort((target.n_pixels[self.index], target.region[self.index]))
        self._order = self.index[order]
        self._place = np.empty(len(order), np.int64)
        self._place[order] = np.arange(len(order))

    @torch.no_grad()
    def probabilities(
        self,
        module: nn.Module,
        shifts: npt.NDArray[np.int64],
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Tensor:
        """(N, D, K) float32 on the CPU, for the sets `index`; the module is read in eval mode.

        Args:
            module: PSE+LTAE without extra features.
            shifts: (D,) days added to the positions.
            progress: gets 0..1; may raise to cancel.

        Raises:
            ModelError: another network.
        """
        if not isinstance(module, PSELTAE) or module.spatial_encoder.extra:
            raise ModelError(
                "Only PSE+LTAE models without geometric features can be shifted in time.",
                "Train a source model with Train source model, and adapt that.",
            )
        device = self._device.torch
        network = eval_form.fold(module)
        attention = ShiftedAttention(network, self._target.positions, torch.as_tensor(shifts, device=device))
        step = max(1, (PAIRS_CPU if self._device.is_cpu else PAIRS_GPU) // len(shifts))

        def classify(index: npt.NDArray[np.int64]) -> Tensor:
            batch = self._collate(index, np.random.default_rng([self._seed, int(index[0])])).to(device)
            x = eval_form.sequence(network, batch.pixels, batch.pixel_mask, batch.date_mask)
            given = x, batch.positions, batch.date_mask
            parts = zip(*(torch.split(tensor, step) for tensor in given), strict=True)
            return torch.softmax(torch.cat([attention.logits(*part) for part in parts]), -1).cpu()

        size = SETS_CPU if self._device.is_cpu else SETS_GPU
        batches = [self._order[start : start + size] for start in range(0, len(self._order), size)]
        # A round of batches keeps every worker busy, and is over before anybody waits for a cancel.
        at_once = ROUND * torch.get_num_threads() if self._device.is_cpu else 1
        found: list[Tensor] = []
        for start in range(0, len(batches), at_once):
            progress(start / len(batches))
            found += workers.run(classify, batches[start : start + at_once], parallel=self._device.is_cpu)
        progress(1.0)
        return torch.cat(found)[torch.from_numpy(self._place)]


def estimate_shift(
    module: nn.Module,
    card: ModelCard,
    target: PixelSets,
    device: Device,
    *,
    estimator: str = "IS",
    max_shift: int = 60,
    resamples: int = 50,
    seed: int = 1,
    progress: Callable[[float], None] = lambda fraction: None,
) -> ShiftCurves:
    """Scores of all shifts up to `max_shift` days, the best of each estimator, and its spread.

    The class distribution that AM compares with is that of the model's own answers at the best shift
    of IS (spec timematch.md section 5, "when and over which range", steps 1 to 3, in one pass).

    Args:
        module, card: the source model.
        target: sets with the model's bands in its order; labels are not looked at.
        device: where to compute.
        estimator: which one decides: a key of `ESTIMATORS`.
        max_shift: days.
        resamples: bootstrap samples of the target sets.
        seed: of all draws.
        progress: gets 0..1; may raise to cancel.

    Raises:
        InputError: too few sets. ModelError: a network whose dates can't be shifted.
    """
    table = ShiftTable(target, card.bands, device, mask_dates=card.mask_dates, seed=seed)
    shifts = search_range(max_shift)
    p = table.probabilities(module, shifts, progress)
    return curves_of(p, shifts, estimator=estimator, resamples=resamples, seed=seed)


def curves_of(
    p: Tensor, shifts: npt.NDArray[np.int64], *, estimator: str, resamples: int, seed: int
) -> ShiftCurves:
    """All curves of a table of probabilities (N, D, K); see `estimate_shift`."""
    scores = {"IS": shift_scores.inception(p), "ENT": shift_scores.entropy(p)}
    best = {name: shift_scores.best_shift(curve, shifts, name) for name, curve in scores.items()}
    classes = torch.bincount(
        p[:, int(np.flatnonzero(shifts == best["IS"])[0])].argmax(-1), minlength=p.shape[2]
    )
    distribution = classes / classes.sum()
    scores["AM"] = shift_scores.activation(p, distribution)
    best["AM"] = shift_scores.best_shift(scores["AM"], shifts, "AM")
    resampled = _resampled(p, shifts, distribution, resamples, seed)
    return ShiftCurves(
        shifts=shifts,
        scores={name: scores[name].double().numpy() for name in ESTIMATORS},
        best={name: best[name] for name in ESTIMATORS},
        resampled=resampled,
        estimator=estimator,
        shift=best[estimator],
        n_sets=len(p),
    )


def _resampled(
    p: Tensor, shifts: npt.NDArray[np.int64], distribution: Tensor, resamples: int, seed: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Best shifts of bootstrap samples of the sets, drawn as weights: (R,) for each estimator."""
    n, d, k = p.shape
    rng = np.random.default_rng([seed, n])
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float32) / n
    weights = torch.from_numpy(drawn)
    log_p = torch.log(p + shift_scores.EPS)
    negative_entropy = weights @ (p * log_p).sum(-1)  # (R, D)
    mean = (weights @ p.view(n, -1)).view(-1, d, k)
    hard = torch.nn.functional.one_hot(p.argmax(-1), k).to(p.dtype)
    histogram = (weights @ hard.view(n, -1)).view(-1, d, k)
    inception = negative_entropy - (mean * torch.log(mean + shift_scores.EPS)).sum(-1)
    c = distribution.to(p.dtype)
    divergence = (c * (torch.log(c + shift_scores.EPS) - torch.log(histogram + shift_scores.EPS))).sum(-1)
    curves = {"IS": inception, "AM": divergence - negative_entropy, "ENT": -negative_entropy}
    return {
        name: np.array([shift_scores.best_shift(row, shifts, name) for row in curves[name]], dtype=np.int64)
        for name in ESTIMATORS
    }
