"""A CLIP model from the internet, once, on the user's word."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import Job, JobResult

#: Is `models.clip.fetch.DEFAULT`, stated here so that the command line's help needn't import a network.
NAME = "openai/clip-vit-base-patch32"


class FetchClip(Job):
    """Fetch a CLIP model (text and photo encoder) at a fixed revision into the models folder."""

    title: ClassVar[str] = "Fetch CLIP model"

    name: str = Field(NAME, description="owner/model at Hugging Face; any CLIP or SigLIP model")
    revision: str | None = Field(
        None, description="commit (40 hex digits); known models have a fixed one, others take a branch, too"
    )
    accept: bool = Field(False, description="yes, fetch several hundred megabytes from the internet")
    models_folder: Path | None = Field(
        None, description="gets a folder with the model's name; without it the models folder of SITS for QGIS"
    )

    def run(self, ctx: JobContext) -> JobResult:
        """Fetch it, or say that it is there."""
        from sits_engine.models.clip.fetch import fetch_clip
        from sits_engine.models.clip.folder import check_folder

        found = fetch_clip(self.name, self.revision, self.models_folder, ctx, accept=self.accept)
        facts = check_folder(found)
        size = sum(file.stat().st_size for file in facts.weights)
        ctx.info(
            f"{found}: {facts.family}, vectors of {facts.dim} numbers, texts of up to {facts.max_tokens} "
            f"tokens, weights of {size / 1e6:.1f} MB, fingerprint {facts.fingerprint[:12]}."
        )
        ctx.progress(1.0, "Done")
        return JobResult(
            outputs={"folder": str(found)},
            scores={"fingerprint": facts.fingerprint, "dim": facts.dim, "max_tokens": facts.max_tokens},
        )
