"""InfoNCE from satellite images to photos, with negatives of the batch and of a queue of past keys.

Source: shared/spec/timesenclip.md section 5. The release knows only the queue, which starts with noise; here
the other places of the batch are negatives, the queue holds real keys only, and a place is never its own
negative, however small the data (`published` restores the release).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Published number of past keys.
QUEUE = 2048


class KeyQueue(nn.Module):
    """A ring of past keys and the places that they are of.

    Args:
        size: keys that it holds.
        dim: length of a key.
        published: starts full of random unit vectors instead of empty.
    """

    keys: Tensor
    places: Tensor

    def __init__(self, size: int, dim: int, *, published: bool = False) -> None:
        super().__init__()
        start = functional.normalize(torch.randn(size, dim), dim=1) if published else torch.zeros(size, dim)
        self.register_buffer("keys", start)
        # -1: nothing there yet; -2: noise, which is nobody's place
        self.register_buffer("places", torch.full((size,), -2 if published else -1))
        self.pointer = 0

    @torch.no_grad()
    def push(self, keys: Tensor, places: Tensor) -> None:
        """Put (B, dim) keys of (B,) places over the oldest ones; a batch may be larger than the ring."""
        size = len(self.keys)
        if size == 0:
            return
        keys, places = keys[-size:].detach(), places[-size:]
        at = (torch.arange(len(keys), device=keys.device) + self.pointer) % size
        self.keys[at] = keys.to(self.keys.dtype)
        self.places[at] = places
        self.pointer = (self.pointer + len(keys)) % size


def published_logits(queries: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
    """(B, 1 + Q) cosines of the release: the own key, then the queue; the first is right.

    Args:
        queries, keys: (B, dim) unit vectors.
        queue: (Q, dim) unit vectors.
    """
    return torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], 1)


def published_loss(queries: Tensor, keys: Tensor, queue: KeyQueue, scale: Tensor) -> Tensor:
    """Loss of the release; see `published_logits`. `scale` multiplies the cosines."""
    logits = published_logits(queries, keys, queue.keys) * scale
    return functional.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.long, device=keys.device))


def contrastive_loss(
    queries: Tensor,
    keys: Tensor,
    places: Tensor,
    queue: KeyQueue | None,
    scale: Tensor,
    rows: Tensor | None = None,
) -> Tensor:
    """InfoNCE of a batch.

    Args:
        queries: (B, dim) unit vectors of the images; with `rows` of some of them.
        keys: (B, dim) unit vectors of the photos.
        places: (B,) int64 number of each place; keys of the own place are no negatives.
        queue: past keys; those of places of the batch count once, as the batch has them. None: batch only.
        scale: multiplies the cosines.
        rows: which places of the batch the queries are of; None: all, in order.

    Returns:
        The mean over the queries.
    """
    everyone = torch.arange(len(places), device=places.device)
    rows = everyone if rows is None else rows
    logits = queries @ keys.T
    hidden = (places[rows, None] == places) & (rows[:, None] != everyone)
    if queue is not None:
        logits = torch.cat([logits, queries @ queue.keys.T.to(queries.dtype)], 1)
        old = (queue.places == -1) | torch.isin(queue.places, places)
        hidden = torch.cat([hidden, old.expand(len(rows), -1)], 1)
    logits = (logits.float() * scale).masked_fill(hidden, -torch.inf)
    return functional.cross_entropy(logits, rows)
