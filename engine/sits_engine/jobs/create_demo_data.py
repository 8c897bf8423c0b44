"""Two simulated regions to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.jobs.base import Job, JobResult
from sits_engine.outputs import discard
from sits_engine.series.simulate import DemoPaths, simulate_pair


class CreateDemoData(Job):
    """Write simulated Sentinel-2-like image series, parcels and the truth of a pair of regions."""

    title = "Create demo data"

    output_folder: Path = Field(description="folder for the two regions; a demo in it is replaced")
    size: int = Field(512, ge=64, le=2048, description="pixels of 10 m a side, an even number")
    difficulty: Literal["easy", "standard", "hard"] = Field("standard", description="easy, standard or hard")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="the same seed gives the same files")
    dates: int = Field(28, ge=3, le=60, description="image dates of each region")
    shift_days: float = Field(
        28.0, ge=-60, le=60, description="days that everything in region B is earlier than in region A"
    )
    photo_places: int = Field(
        0, ge=0, le=5000, description="places of each region with four drawn ground photos; 0: no photos"
    )
    toy_clip: bool = Field(
        True, description="with photos: train a small CLIP model on those of region B and their captions"
    )

    @field_validator("size")
    @classmethod
    def _even(cls, size: int) -> int:
        if size % 2:
            raise ValueError("must be an even number, because some bands have pixels of 20 m")
        return size

    def run(self, ctx: JobContext) -> JobResult:
        """Simulate and write."""
        learns = self.photo_places > 0 and self.toy_clip
        paths = simulate_pair(
            self.output_folder.expanduser(),
            size=self.size,
            dates=self.dates,
            shift_days=self.shift_days,
            difficulty=self.difficulty,
            seed=self.seed,
            ctx=ctx,
            photo_places=self.photo_places,
            end=0.6 if learns else 1.0,
        )
        ctx.info("The data are simulated: use them to learn and to test, never as evidence about real crops.")
        # An old toy knows photos that are gone.
        if (paths.clip / "README.txt").exists() and "Toy CLIP" in (paths.clip / "README.txt").read_text(
            "utf-8"
        ):
            discard(paths.clip)
        photos = {}
        if self.photo_places:
            photos = {"photos_a": str(paths.photos_a), "photos_b": str(paths.photos_b)}
        if learns:
            photos["clip"] = str(self._learn(paths, ctx))
        return JobResult(
            outputs={
                "folder": str(paths.folder),
                "images_a": str(paths.images_a),
                "parcels_a": str(paths.parcels_a),
                "images_b": str(paths.images_b),
                "parcels_b": str(paths.parcels_b),
                "truth_a": str(paths.truth_a),
                "truth_b": str(paths.truth_b),
                **photos,
            }
        )

    def _learn(self, paths: DemoPaths, ctx: JobContext) -> Path:
        """Train the toy CLIP on region B: places and photos of region A are new to it."""
        ctx.progress(0.6, "Training the toy CLIP")
        from sits_engine.models.clip.toy import ToyOptions, read_captions, train_toy_clip

        photos, captions, kinds = read_captions(paths.captions_b, "train")
        part = ctx.part(0.6, 1.0, "Training the toy CLIP")
        options = ToyOptions(seed=self.seed)
        report = train_toy_clip(paths.clip, photos, captions, kinds, options, part, ctx.check_cancelled)
        ctx.info(
            f"The toy CLIP learned from {report.photos} drawn photos of region B with {report.captions} "
            "captions. It knows nothing else."
        )
        ctx.progress(1.0, "Done")
        return paths.clip
