"""The training step of PSE+LTAE in a faster form: same parameters, same numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sits_engine.models import pixel_training
from sits_engine.models.dense import linear
from sits_engine.models.layers import LinearNorm
from sits_engine.models.ltae import attention_weights, encode_positions
from sits_engine.models.pseltae import PSELTAE


class TrainingForm:
    """Calls a network the fast way where there is one.

    Use it in place of the module in a training loop; optimiser, state dict, `train()` and `eval()`
    stay with the module itself::

        form = TrainingForm(module)
        logits = form(*batch.inputs)

    In train mode PSE+LTAE runs in pieces that stay in the cache (`pixel_training`), skips dates that
    don't count, multiplies the learned query into the key projection, and encodes each position
    once. In eval mode, and for other networks, the module is called as it is.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(
        self,
        pixels: Tensor,
        pixel_mask: Tensor,
        positions: Tensor,
        date_mask: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, K); arguments as `PSELTAE.forward`, fastest with pixels stored channels last."""
        module = self.module
        if not isinstance(module, PSELTAE):
            arguments = (pixels, pixel_mask, positions, date_mask)
            out: Tensor = module(*arguments) if extra is None else module(*arguments, extra)
            return out
        return module.classify(self.features(pixels, pixel_mask, positions, date_mask, extra))

    def features(
        self,
        pixels: Tensor,
        pixel_mask: Tensor,
        positions: Tensor,
        date_mask: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> Tensor:
        """What the decoder of PSE+LTAE sees, (B, mlp3[-1]); arguments as `PSELTAE.forward`."""
        module = self.module
        if not isinstance(module, PSELTAE):
            raise TypeError(f"{type(module).__name__} has no features of this kind")
        if not module.training or module.spatial_encoder.extra:
            return module.features(pixels, pixel_mask, positions, date_mask, extra)[0]
        if module.reference:
            date_mask = None
        elif date_mask is None:
            date_mask = pixel_mask.any(-1)
        blocks: list[LinearNorm] = list(module.spatial_encoder.mlp1)  # type: ignore[arg-type]
        widths = [block.linear.out_features for block in blocks]
        chosen = pixel_training.plan(
            widths, pixels, pixel_mask, date_mask, padded_statistics=module.reference
        )
        pooled = pixel_training.pooled_features(blocks, chosen)
        return _after_pooling(module, pooled, chosen.order, positions, date_mask)


def _after_pooling(
    module: PSELTAE, x: Tensor, order: Tensor, positions: Tensor, date_mask: Tensor | None
) -> Tensor:
    """mlp2, attention over dates: features (B, mlp3[-1]).

    Args:
        x: (G, 2 F) pooled features of the pairs that are used.
        order: (G,) their places in (B T).
        positions: (B, T).
        date_mask: (B, T) or None.
    """
    for block in module.spatial_encoder.mlp2:
        x = _block(block, x)  # type: ignore[arg-type]
    temporal = module.temporal_encoder
    heads = temporal.attention_heads
    x = _block(temporal.inconv, x)
    x = x + _positions(positions + temporal.shift, order, x.shape[-1]).to(x.dtype)
    weight, bias = heads.folded()
    scores = linear(x, weight) + bias
    batch, dates = positions.shape
    if len(order) == batch * dates and bool((order[1:] > order[:-1]).all()):
        date_mask = None  # all pairs, in their own order
    else:
        # Pairs that are not used stay 0 and get weight 0.
        x = x.new_zeros(batch * dates, x.shape[1]).index_copy(0, order, x)
        scores = scores.new_zeros(batch * dates, scores.shape[1]).index_copy(0, order, scores)
    attention = attention_weights(scores.view(batch, dates, -1).transpose(1, 2), date_mask)
    attention = temporal.attention_dropout(attention)
    values = x.view(batch, dates, heads.n_head, -1).transpose(1, 2)
    out = torch.matmul(attention.unsqueeze(2), values).flatten(1)
    for block in temporal.mlp:
        out = block(out)
    dropped: Tensor = temporal.dropout(out)
    return dropped


def _block(block: LinearNorm, x: Tensor) -> Tensor:
    """The block in train mode, its products as fast as the processor can."""
    return torch.relu(block.norm(linear(x, block.linear.weight)))


def _positions(positions: Tensor, order: Tensor, d_model: int) -> Tensor:
    """(G, d_model) encoding of the used pairs; each different position is computed once."""
    unique, inverse = torch.unique(positions.flatten()[order], return_inverse=True)
    return encode_positions(unique, d_model)[inverse]
