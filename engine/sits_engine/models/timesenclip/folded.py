"""The satellite encoder multiplied out for inference: the same numbers, about a quarter less arithmetic.

What the plain form computes and nobody needs:

- Queries, keys and values of the first layer are affine in the pixel's bands, so they come straight from
  those (10 numbers instead of 512); months and the class token add constants. What its heads gather is
  averaged over bands and months before it is multiplied out.
- Of the last layer only the class token is read: one query, and keys and values are never made, since a head
  scores and gathers the tokens themselves.
- Dropout, and the padding mask where nothing is missing.

Products go through `dense`. ReLU and GELU, one and two layers at the end alike. `place_encoder` computes the
same on a processor where there is a C++ compiler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sits_engine.models.dense import affine
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.token_attention import attention

Pair = tuple[Tensor, Tensor]
#: Columns of bands and marks are a multiple of this: whole vectors of a processor.
COLUMNS = 16


@dataclass(frozen=True)
class Layer:
    """Weights of a transformer layer: (weight, bias) of products and norms, epsilon of the norms."""

    qkv: Pair
    out: Pair
    first: Pair
    second: Pair
    norm1: Pair
    norm2: Pair
    eps: float


@dataclass(frozen=True)
class FirstLayer:
    """What the first layer makes of bands and months.

    Attributes:
        qk: (2 d, W) queries and keys of [bands, which token, zeros]; W: F + T + 1, filled up to `COLUMNS`.
        out: (d, H W) what a head's mean of these adds to a token, and its bias.
    """

    qk: Tensor
    out: Pair


@dataclass(frozen=True)
class Folded:
    """See the module.

    Attributes:
        embedding: weight (d, F) of the first linear layer.
        token: (T + 1, d) constants of the tokens: the class token, then bias and position of each step.
        layers: all of them.
        first: the first one multiplied out; None where bands are so many that it would not pay.
        head: norm, then linear layers.
        heads, activation: as the encoder.
    """

    embedding: Tensor
    token: Tensor
    layers: tuple[Layer, ...]
    first: FirstLayer | None
    head_norm: tuple[Tensor, Tensor, float]
    head: tuple[Pair, ...]
    heads: int
    activation: str


@torch.no_grad()
def fold(module: SatelliteEncoder, months: Tensor) -> Folded:
    """Multiply out an encoder for given positions.

    Args:
        module: in eval mode; later changes of its weights are not seen.
        months: (T,) positions of the steps.
    """
    linear = _linears(module.spectral_embedding)[0]
    bias = linear.bias.double() + module.positions()[months].double()
    token = torch.cat([module.time_token[0].double(), bias])
    layers = tuple(_layer(one) for one in module.transformer.layers)
    norm = next(one for one in module.mlp_head if isinstance(one, nn.LayerNorm))
    pays = module.heads * (linear.in_features + len(token)) <= module.dim and len(layers) > 1
    return Folded(
        embedding=linear.weight.detach(),
        token=token.float(),
        layers=layers,
        first=_first(layers[0], linear.weight.double(), token, module.heads) if pays else None,
        head_norm=(*_pair(norm), norm.eps),
        head=tuple(_pair(one) for one in _linears(module.mlp_head)),
        heads=module.heads,
        activation=module.activation,
    )


def _linears(modules: nn.Sequential) -> list[nn.Linear]:
    return [one for one in modules if isinstance(one, nn.Linear)]


def _pair(module: Any) -> Pair:
    return module.weight.detach(), module.bias.detach()


def _layer(layer: Any) -> Layer:
    attention = layer.self_attn
    return Layer(
        qkv=(attention.in_proj_weight.detach(), attention.in_proj_bias.detach()),
        out=_pair(attention.out_proj),
        first=_pair(layer.linear1),
        second=_pair(layer.linear2),
        norm1=_pair(layer.norm1),
        norm2=_pair(layer.norm2),
        eps=float(layer.norm1.eps),
    )


def _first(layer: Layer, embedding: Tensor, token: Tensor, heads: int) -> FirstLayer:
    d = len(embedding)
    weight, bias = (part.double() for part in layer.qkv)
    # columns: bands, then one for each token (the class token has no bands)
    columns = torch.cat([weight @ embedding, weight @ token.T + bias[:, None]], 1)
    columns = functional.pad(columns, (0, -columns.shape[1] % COLUMNS))
    out, out_bias = (part.double() for part in layer.out)
    gathered = [
        out[:, h * (d // heads) : (h + 1) * (d // heads)]
        @ columns[2 * d + h * (d // heads) : 2 * d + (h + 1) * (d // heads)]
        for h in range(heads)
    ]
    return FirstLayer(
        columns[: 2 * d].float().contiguous(),
        (torch.cat(gathered, 1).float().contiguous(), out_bias.float()),
    )


def encode(folded: Folded, images: Tensor, mask: Tensor | None) -> Tensor:
    """Vectors of B places, as `SatelliteEncoder.forward`.

    Args:
        folded: for T steps.
        images: (B, T, F) normalised, F = channels times context.
        mask: (B, T) True where used; None: all.

    Returns:
        (B, embedding), not normalised.
    """
    return head(folded, class_token(folded, images, mask))


def class_token(folded: Folded, images: Tensor, mask: Tensor | None) -> Tensor:
    """What the layers make of the class token: (B, d), arguments as of `encode`."""
    b, count = len(images), images.shape[1] + 1
    x = images.new_empty(b, count, folded.token.shape[1])
    x[:, 0] = folded.token[0]
    torch.add(affine(images, folded.embedding), folded.token[1:], out=x[:, 1:])
    hidden = None if mask is None else functional.pad(~mask, (1, 0))
    for number, layer in enumerate(folded.layers):
        if number == len(folded.layers) - 1:
            x = _class_token(folded, layer, x, hidden)
        elif number == 0 and folded.first is not None:
            x = _after(folded, layer, x, _gathered(folded.first, folded.heads, images, hidden))
        else:
            x = _after(folded, layer, x, _attention(folded, layer, x, hidden))
    return x


def head(folded: Folded, x: Tensor) -> Tensor:
    """(B, d) class tokens -> (B, embedding)."""
    weight, bias, eps = folded.head_norm
    x = functional.layer_norm(x, weight.shape, weight, bias, eps)
    for last, (weight, bias) in zip(range(len(folded.head) - 1, -1, -1), folded.head, strict=True):
        x = affine(x, weight, bias)
        if last:
            x = functional.gelu(x)
    return x


def _gathered(first: FirstLayer, heads: int, images: Tensor, hidden: Tensor | None) -> Tensor:
    """Attention of the first layer from bands and marks: (B, T, F) -> (B, T + 1, d)."""
    b, steps, bands = images.shape
    known = images.new_zeros(b, steps + 1, first.qk.shape[1])
    known[:, 1:, :bands] = images
    token = torch.arange(steps + 1, device=images.device)
    known[:, token, bands + token] = 1
    q, k = affine(known, first.qk).view(b, steps + 1, 2, heads, -1).permute(2, 0, 3, 1, 4)
    # what each head saw, on average
    return affine(attention(q, k, known.unsqueeze(1), hidden).flatten(2), *first.out)


def _attention(folded: Folded, layer: Layer, x: Tensor, hidden: Tensor | None) -> Tensor:
    b, n, d = x.shape
    heads = folded.heads
    q, k, v = affine(x, *layer.qkv).view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    return affine(attention(q, k, v, hidden).flatten(2), *layer.out)


def _class_token(folded: Folded, layer: Layer, x: Tensor, hidden: Tensor | None) -> Tensor:
    """The last layer for the class token alone: (B, n, d) -> (B, d)."""
    b, d = len(x), x.shape[2]
    heads, size = folded.heads, d // folded.heads
    weight, bias = layer.qkv
    own = x[:, 0].contiguous()
    q = affine(own, weight[:d], bias[:d]).view(b, heads, size).transpose(0, 1)
    # a head's query as it looks at the tokens themselves; the bias of the keys is the same for all of them
    look = (q @ weight[d : 2 * d].view(heads, size, d)).transpose(0, 1)
    tokens = x.unsqueeze(1)
    seen = attention(look.unsqueeze(1), tokens, tokens, hidden, size**-0.5).squeeze(2)
    values = (seen.transpose(0, 1) @ weight[2 * d :].view(heads, size, d).transpose(1, 2)).transpose(0, 1)
    found = values.reshape(b, d) + bias[2 * d :]
    return _after(folded, layer, own, affine(found, *layer.out))


def _after(folded: Folded, layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a post-norm layer."""
    shape = x.shape[-1:]
    x = functional.layer_norm(attended.add_(x), shape, *layer.norm1, layer.eps)
    if folded.activation == "relu":
        wide = affine(x, *layer.first, relu=True)
    else:
        wide = functional.gelu(affine(x, *layer.first))
    return functional.layer_norm(affine(wide, *layer.second).add_(x), shape, *layer.norm2, layer.eps)
