"""Lines of the table on a graphics card. They never ran on one; on a CPU they do.

Networks alone: as on a CPU (`table_rows.py`), ours as the jobs run it against the published form in eager
float32; for PSE+LTAE also what the published form gains by mixed precision and by `torch.compile`. The
ceiling is the best of float32, TF32 and bfloat16 products, and the card's own copy. Then a map from files
to file: the share of the time in which the card doesn't wait for input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import mapping
import network
import roofline
import sits_engine  # noqa: F401 - first: it sets how the threads of torch wait
import torch
from images import make_series
from sits_engine.models.precision import half_type
from table_rows import NETWORKS, Row, Settings

#: Pixels of a batch that is on the card already.
BATCH = 16_384
#: The share of the time that a card may wait for input.
WAITING = 0.2


def precisions(settings: Settings, batch: int = BATCH) -> list[Row]:
    """The published PSE+LTAE on pixels: float32, mixed precision, and compiled with mixed precision."""
    device = settings.device
    plain = network.networks("standard")[0].eval()
    single = partial(network.plain_inference, batch=batch, pixels=1, repeats=1, number=settings.available)
    half = half_type(device) or torch.bfloat16
    compiled = torch.compile(plain)

    def mixed(module: Callable[..., torch.Tensor]) -> network.Work:
        work = single(module, device=device)

        def run() -> int:
            with torch.autocast(device.torch.type, dtype=half):
                return work()

        return run

    forms = {
        network.BASELINE: single(plain, device=device),
        "mixed": mixed(plain),
        "compiled": mixed(compiled),
    }
    found = network.measure(forms, settings.rounds)
    base = found[network.BASELINE]["per_second"]
    against = f"published form, eager, float32, batch {batch}, input on the device"
    return [
        Row(
            f"PSE+LTAE, pixels, published form, {words}",
            "pixels",
            against,
            base,
            found[form]["per_second"],
            found[form]["ratio"],
        )
        for form, words in (("mixed", "mixed precision"), ("compiled", "mixed precision, compiled"))
    ]


def waiting(settings: Settings) -> list[Row]:
    """A map on the card: how much of the time it works."""
    series = make_series(settings.folder, settings.size, 24)
    model, output = mapping.make_model(settings.folder, "standard"), settings.folder / "card.tif"
    on_card = {"device": str(settings.device.torch)}
    mapping.job(series, model, output, **on_card)  # its libraries, and the size of a batch
    seconds, scores = mapping.job(series, model, output, **on_card)
    roofline.settle(settings.device)
    working = 1 - scores["busy"]["waiting"]
    return [
        Row(
            f"Map, files to file: the card works ({scores['pixels'] / seconds:,.0f} pixels a second)",
            "share of the time",
            "all of the time",
            1.0,
            working,
            working,
            1 - WAITING,
        )
    ]


CARD: Mapping[str, Callable[[Settings], list[Row]]] = {
    **NETWORKS,
    "precisions": precisions,
    "waiting": waiting,
}
