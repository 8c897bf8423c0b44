"""What scheduler and workers of a Dask cluster are asked before a map.

They unpack these functions by name in their event loop, which has to answer others meanwhile: so nothing
heavy is imported here, and importing PyTorch goes to a thread.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from typing import Any

WORKER = "sits_engine.mapping.cluster_worker"


async def ready() -> None:
    """Import what a scheduler must unpack with the tasks of a map."""
    await asyncio.to_thread(importlib.import_module, WORKER)


async def silence(dask_scheduler: Any = None) -> dict[str, float]:
    """Seconds since the scheduler heard of each worker; they report about once a second."""
    now = time.time()
    return {address: now - worker.last_seen for address, worker in dask_scheduler.workers.items()}


async def give_up(workers: list[str], dask_scheduler: Any = None) -> list[str]:
    """Have workers restarted or removed now, as Dask does by itself after `worker-ttl`.

    Returns those that are; none where whoever runs the cluster wants silent workers to be kept.
    """
    present = [worker for worker in workers if worker in dask_scheduler.workers]
    if not present or dask_scheduler.worker_ttl is None:
        return []
    name = f"sits-silent-{time.time()}"
    await dask_scheduler.restart_workers(
        present, timeout=5, wait_for_workers=False, on_error="return", stimulus_id=name
    )
    return present


async def describe(device: str) -> dict[str, Any]:
    """Facts of a worker: see `cluster_worker.describe`."""

    def found() -> dict[str, Any]:
        facts: dict[str, Any] = importlib.import_module(WORKER).describe(device)
        return facts

    return await asyncio.to_thread(found)
