"""The methods that align features of the two regions: MMD, DANN, CDAN+E, JUMBOT, ALDA."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning import schedule
from sits_engine.learning.adaptation.adversarial import Conditioning, Discriminator, cdan_loss, dann_loss
from sits_engine.learning.adaptation.alda import ClassDiscriminator, alda_loss
from sits_engine.learning.adaptation.jumbot import jumbot_loss
from sits_engine.learning.adaptation.mmd import mmd_loss
from sits_engine.learning.adaptation.options import AdaptOptions
from sits_engine.learning.adaptation.reversal import coefficient
from sits_engine.learning.adaptation.settings import PUBLISHED_TOTAL, AdaptSettings
from sits_engine.learning.adaptation.views import Tally, joined, strong_view, without_padding
from sits_engine.learning.sampler import ShuffledSampler
from sits_engine.learning.transforms import Batch, Collator
from sits_engine.models.card import BandCard
from sits_engine.models.pseltae import PSELTAE
from sits_engine.models.training_form import TrainingForm
from sits_engine.samples.pixel_sets import PixelSets

#: Methods whose two regions go through the network in one call, with common batch statistics.
ONE_CALL = ("mmd", "dann", "cdan")
#: ALDA's gradient reversal is complete after a tenth of the published run.
ALDA_HORIZON = 1_000


class Alignment:
    """Network, discriminator and optimiser of one method.

    Args:
        network: the source model, on the device; it is changed.
        source, target: sets with the same bands and classes; the target's labels are not looked at.
        bands: normalisation of the model.
        options, settings: see there; `options.method` is one of the five.
        device: where to compute.
        mask_dates: as the model's card says.

    Source: shared/spec/timematch.md section 7.
    """

    def __init__(
        self,
        network: PSELTAE,
        source: PixelSets,
        target: PixelSets,
        bands: Sequence[BandCard],
        options: AdaptOptions,
        settings: AdaptSettings,
        device: Device,
        *,
        mask_dates: bool,
    ) -> None:
        self.network, self.options, self.settings = network, options, settings
        self._device, self._source, self._target = device, source, target
        self._form = TrainingForm(network)
        torch.manual_seed(options.seed)
        self.discriminator, self._conditioning = _discriminator(options.method, network)
        self.discriminator.to(device.torch).train()
        self._conditioning.to(device.torch)
        decoder = list(network.decoder.parameters())
        inside = {id(p) for p in decoder}
        encoder = [p for p in network.parameters() if id(p) not in inside]
        head = [*decoder, *self.discriminator.parameters()]
        rate, decay = settings.learning_rate, options.weight_decay
        self.optimizer = schedule.nesterov(encoder, head, rate, decay)
        self.schedule = schedule.inverse_decay(self.optimizer, settings.epochs * settings.steps_per_epoch)
        strong = strong_view(settings, mask_dates=mask_dates)
        if network.reference and options.method in ONE_CALL:
            strong = without_padding(strong, source, target)
        self._source_view, self._target_view = (Collator(s, bands, strong) for s in (source, target))

    @property
    def result(self) -> nn.Module:
        """The network to use."""
        return self.network

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What a checkpoint must hold."""
        return {"network": self.network, "discriminator": self.discriminator}

    def epoch(self, number: int, ctx: JobContext, progress: Callable[[float], None]) -> Tally:
        """One epoch; `number` counts from 1. All chance comes from the seed and the number."""
        rng = np.random.default_rng([self.options.seed, number])
        torch.manual_seed(int(rng.integers(2**31)))
        size, steps = self.settings.batch_size, self.settings.steps_per_epoch
        source, target = (ShuffledSampler(s.labels, size, rng) for s in (self._source, self._target))
        tally = Tally()
        for step in range(steps):
            progress(step / steps)
            ctx.check_cancelled()
            known = self._source_view(source.draw(), rng).to(self._device.torch)
            unknown = self._target_view(target.draw(), rng).to(self._device.torch)
            self._step(known, unknown, ((number - 1) * steps + step) * self.settings.horizon, tally)
        return tally

    def _step(self, known: Batch, unknown: Batch, at: float, tally: Tally) -> None:
        """One step; `at` counts in steps of a run of the published length."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        n = len(known.labels)
        if self.options.method in ONE_CALL:
            features = self._form.features(*joined(known, unknown).inputs)
            logits = self.network.classify(features)
            f_s, f_t, y_s, y_t = features[:n], features[n:], logits[:n], logits[n:]
        else:
            f_s, f_t = (self._form.features(*batch.inputs) for batch in (known, unknown))
            y_s, y_t = self.network.classify(f_s), self.network.classify(f_t)
        source_loss = functional.cross_entropy(y_s, known.labels)
        aligned = self._loss(f_s, f_t, y_s, y_t, known.labels, at)
        (source_loss + self.settings.trade_off * aligned).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():
            confidence, classes = torch.softmax(y_t.detach(), -1).max(1)
            tally.source_loss.append(source_loss.detach())
            tally.target_loss.append(aligned.detach())
            tally.kept.append((confidence > self.settings.threshold).sum())
            tally.seen += len(classes)
            tally.confidence.append(confidence.mean())
            tally.classes.append(classes)

    def _loss(self, f_s: Tensor, f_t: Tensor, y_s: Tensor, y_t: Tensor, labels: Tensor, at: float) -> Tensor:
        method, discriminator = self.options.method, self.discriminator
        if method == "mmd":
            return mmd_loss(f_s, f_t)
        if method == "dann":
            return dann_loss(discriminator, f_s, f_t, coefficient(at))
        if method == "cdan":
            return cdan_loss(discriminator, self._conditioning, f_s, f_t, y_s, y_t, coefficient(at))
        if method == "jumbot":
            return jumbot_loss(f_s, labels, f_t, y_t)
        terms = alda_loss(
            discriminator,
            f_s,
            f_t,
            y_s,
            y_t,
            labels,
            coefficient(at, ALDA_HORIZON),
            threshold=self.settings.threshold,
        )
        return terms.adversarial + terms.regularisation + coefficient(at, PUBLISHED_TOTAL) * terms.correction


def _discriminator(method: str, network: PSELTAE) -> tuple[nn.Module, nn.Module]:
    """What tells the regions apart, and what it looks at; empty modules for methods without."""
    width, classes = int(network.decoder[0].linear.in_features), network.n_classes  # type: ignore[union-attr,arg-type]
    if method == "dann":
        return Discriminator(width), nn.Identity()
    if method == "cdan":
        conditioning = Conditioning(width, classes)
        return Discriminator(conditioning.size), conditioning
    if method == "alda":
        return ClassDiscriminator(width, classes), nn.Identity()
    return nn.Identity(), nn.Identity()
