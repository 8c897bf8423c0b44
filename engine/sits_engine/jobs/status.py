"""What a person pastes into a bug report: versions, devices, folders."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata

from sits_engine import __version__, device
from sits_engine.context import JobContext
from sits_engine.home import home
from sits_engine.jobs.base import Job, JobResult
from sits_engine.models import compiled, libraries

PACKAGES = ("torch", "numpy", "rasterio", "geopandas", "safetensors", "pydantic", "pystac-client", "zarr")


class Status(Job):
    """Report versions, devices and whether networks are compiled for this processor; no inputs."""

    title = "Engine status"

    def run(self, ctx: JobContext) -> JobResult:
        """Collect versions, devices and folders."""
        versions = {}
        for name in PACKAGES:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                versions[name] = "missing"
        ctx.progress(0.2, "Compiling networks for this processor (the first time this may take two minutes)")
        # so that what the compiler needs to prepare once is prepared before the first map
        compiler = libraries.compiler()
        ctx.progress(0.5, "Looking at devices")
        return JobResult(
            scores={
                "engine": __version__,
                "python": platform.python_version(),
                "interpreter": sys.executable,
                "platform": platform.platform(),
                "packages": versions,
                "compiler": compiler,
                "compiler_failures": dict(compiled.failures),
                "devices": device.available(),
                "auto": device.select("auto").label,
                "home": str(home()),
                "logs": str(ctx.log.parent if ctx.log else home() / "logs"),
                "pid": os.getpid(),
            }
        )
