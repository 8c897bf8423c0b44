"""What a network says in eval mode, the fast way where there is one."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from sits_engine.models import folded as form
from sits_engine.models import pixel_training, workers
from sits_engine.models.pseltae import PSELTAE

#: Sets of a batch that one thread computes together: their pixels stay in the cache of a core.
SETS = 32


def fold(module: PSELTAE) -> form.Folded:
    """The multiplied-out network for normalised input."""
    device = module.temporal_encoder.attention_heads.query.device
    return form.fold(
        module, torch.zeros(module.n_bands, device=device), torch.ones(module.n_bands, device=device)
    )


def sequence(network: form.Folded, pixels: Tensor, pixel_mask: Tensor, date_mask: Tensor) -> Tensor:
    """(n, T, d_model) before the dates are added, finite where a date doesn't count."""
    n, dates, _, size = pixels.shape
    if size == 1:
        return form.sequence_of_pixels(network, pixels.flatten(0, 1).squeeze(2)).view(n, dates, -1)
    widths = [len(bias) for _, bias in network.mlp1]
    sets = pixel_training.plan(widths, pixels, pixel_mask, date_mask)
    rows = form.sequence_of_sets(network, sets)
    x = rows.new_zeros(n * dates, rows.shape[1]).index_copy_(0, sets.order, rows)
    return x.view(n, dates, -1)


def _folds(module: nn.Module) -> TypeGuard[PSELTAE]:
    return isinstance(module, PSELTAE) and not (module.reference or module.spatial_encoder.extra)


@torch.no_grad()
def logits(
    module: nn.Module, pixels: Tensor, pixel_mask: Tensor, positions: Tensor, date_mask: Tensor
) -> Tensor:
    """Logits (B, K) of a network in eval mode, as the module itself gives them; arguments as `PSELTAE`.

    On a processor PSE+LTAE is multiplied out at each call (half a millisecond: a teacher's weights change
    with every step) and runs in pieces on several threads. On a card, and where another network or the
    published form is asked, the module runs as it is.
    """
    if not _folds(module) or positions.device.type != "cpu":
        out: Tensor = module(pixels, pixel_mask, positions, date_mask)
        return out
    network = fold(module)
    days, place = torch.unique(positions, return_inverse=True)
    table = form.calendar(network, days)

    def piece(part: slice) -> Tensor:
        x = sequence(network, pixels[part], pixel_mask[part], date_mask[part])
        dates = form.days_of(table, place[part])
        return form.logits(network, x.transpose(0, 1).contiguous(), dates, date_mask[part].T)

    parts = [slice(start, start + SETS) for start in range(0, len(positions), SETS)]
    out = torch.cat(workers.run(piece, parts))
    unseen = ~date_mask.any(1)
    if bool(unseen.any()):
        # Attention over nothing is uniform there, and nothing in the module: that one counts.
        out[unseen] = module(pixels[unseen], pixel_mask[unseen], positions[unseen], date_mask[unseen])
    return out
