from __future__ import annotations

import golden
import pytest
import torch
from torch.nn import functional

from sits_engine.learning.timesenclip.contrastive import (
    KeyQueue,
    contrastive_loss,
    published_logits,
    published_loss,
)
from sits_engine.learning.timesenclip.pooling import AttentionPooling, AveragePooling


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("kind", ["att", "avg"])
def test_logits_loss_and_queue_are_the_published_ones(kind) -> None:
    data = golden.load("timesenclip_contrastive")
    given, out = data["inputs"], data["outputs"][kind]
    pooling = AveragePooling() if kind == "avg" else AttentionPooling(16)
    if isinstance(pooling, AttentionPooling):
        pooling.load_state_dict({"score.weight": given["attention_weight"]})
    queue = KeyQueue(32, 16, published=True)
    queue.keys.copy_(given["queue"].T)
    queue.pointer = 24
    with torch.no_grad():
        queries = functional.normalize(given["ts_embedding"], dim=1)
        keys = pooling(given["ground_embeddings"], torch.ones(8, 4, dtype=torch.bool))
        torch.testing.assert_close(keys, functional.normalize(out["pooled"], dim=1), **golden.EVAL)
        logits = published_logits(queries, keys, queue.keys)
        torch.testing.assert_close(logits, out["logits"], **golden.EVAL)
        scale = torch.tensor(1 / data["config"]["temperature"])
        torch.testing.assert_close(published_loss(queries, keys, queue, scale), out["loss"], **golden.EVAL)
        # the defect of the release: a fixed scale was used without exp
        wrong = published_loss(queries, keys, queue, scale.log())
        torch.testing.assert_close(wrong, out["loss_scale_not_exponentiated"], **golden.EVAL)
    queue.push(keys, torch.arange(8))
    torch.testing.assert_close(queue.keys.T, out["queue_after_ptr24"], **golden.EVAL)
    assert queue.pointer == 0


def test_the_ring_wraps_around_and_takes_batches_that_do_not_divide_it() -> None:
    queue = KeyQueue(5, 3)
    keys = unit(8, 3)
    queue.push(keys[:3], torch.tensor([0, 1, 2]))
    queue.push(keys[3:6], torch.tensor([3, 4, 5]))
    assert queue.places.tolist() == [5, 1, 2, 3, 4]
    torch.testing.assert_close(queue.keys[0], keys[5])
    queue.push(keys, torch.arange(8))  # larger than the ring: the newest stay
    assert sorted(queue.places.tolist()) == [3, 4, 5, 6, 7]
    KeyQueue(0, 3).push(keys, torch.arange(8))


def test_negatives_are_the_batch_and_other_places_of_the_past() -> None:
    queries, keys, past = unit(4, 8), unit(4, 8, seed=1), unit(3, 8, seed=2)
    places = torch.tensor([7, 8, 9, 10])
    queue = KeyQueue(6, 8)
    queue.push(past, torch.tensor([8, 20, 21]))
    scale = torch.tensor(5.0)
    # place 8 is in the batch already, half of the ring is empty
    expected = functional.cross_entropy(
        torch.cat([queries @ keys.T, queries @ past[1:].T], 1) * 5, torch.arange(4)
    )
    torch.testing.assert_close(contrastive_loss(queries, keys, places, queue, scale), expected)
    alone = functional.cross_entropy(queries @ keys.T * 5, torch.arange(4))
    torch.testing.assert_close(contrastive_loss(queries, keys, places, None, scale), alone)


def test_a_place_twice_in_a_batch_is_not_its_own_negative() -> None:
    queries = unit(3, 8)
    keys = torch.stack([queries[0], queries[0], queries[2]])
    loss = contrastive_loss(queries[[0, 0, 2]], keys, torch.tensor([4, 4, 5]), None, torch.tensor(100.0))
    assert loss < 1e-3


def test_photos_that_are_not_there_do_not_count() -> None:
    photos, there = unit(2, 3, 8), torch.tensor([[True, True, False], [True, False, False]])
    attention = AttentionPooling(8)
    for pooling in (AveragePooling(), attention):
        with torch.no_grad():
            first = pooling(photos * there[:, :, None], there)
            torch.testing.assert_close(first[1], photos[1, 0])
            changed = photos.clone()
            changed[~there] = 9.0
            torch.testing.assert_close(pooling(changed * there[:, :, None], there), first)
