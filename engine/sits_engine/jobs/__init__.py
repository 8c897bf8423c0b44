"""One file a job: its inputs as a validated dataclass, and `run()`.

`JOBS` maps a job's name (the id of its Processing algorithm) to module and class, so that starting one job
imports only what that job needs.
"""

from __future__ import annotations

from importlib import import_module

from sits_engine.errors import InputError
from sits_engine.jobs.base import Job, JobResult

JOBS: dict[str, tuple[str, str]] = {
    "createdemodata": ("sits_engine.jobs.create_demo_data", "CreateDemoData"),
    "buildtimeseries": ("sits_engine.jobs.build_time_series", "BuildTimeSeries"),
    "trainsourcemodel": ("sits_engine.jobs.train_source_model", "TrainSourceModel"),
    "createlabelwindows": ("sits_engine.jobs.create_label_windows", "CreateLabelWindows"),
    "makepseudomasks": ("sits_engine.jobs.make_pseudo_masks", "MakePseudoMasks"),
    "trainsegmentationmodel": ("sits_engine.jobs.train_segmentation_model", "TrainSegmentationModel"),
    "trainphotomodel": ("sits_engine.jobs.train_photo_model", "TrainPhotoModel"),
    "describemodel": ("sits_engine.jobs.describe_model", "DescribeModel"),
    "exportmodel": ("sits_engine.jobs.export_model", "ExportModel"),
    "estimatetemporalshift": ("sits_engine.jobs.estimate_temporal_shift", "EstimateTemporalShift"),
    "adapttoregion": ("sits_engine.jobs.adapt_to_region", "AdaptToRegion"),
    "compareadaptation": ("sits_engine.jobs.compare_adaptation", "CompareAdaptation"),
    "planmap": ("sits_engine.jobs.plan_map", "PlanMap"),
    "mapcrops": ("sits_engine.jobs.map_crops", "MapCrops"),
    "mapzeroshot": ("sits_engine.jobs.map_zero_shot", "MapZeroShot"),
    "mapsimilarity": ("sits_engine.jobs.map_similarity", "MapSimilarity"),
    "mapscenicness": ("sits_engine.jobs.map_scenicness", "MapScenicness"),
    "retrievephotos": ("sits_engine.jobs.retrieve_photos", "RetrievePhotos"),
    "evaluatephotomodel": ("sits_engine.jobs.evaluate_photo_model", "EvaluatePhotoModel"),
    "assessmap": ("sits_engine.jobs.assess_map", "AssessMap"),
    "createvalidationsample": ("sits_engine.jobs.create_validation_sample", "CreateValidationSample"),
    "exporttrainingwindows": ("sits_engine.jobs.export_training_windows", "ExportTrainingWindows"),
    "fetchclip": ("sits_engine.jobs.fetch_clip", "FetchClip"),
    "status": ("sits_engine.jobs.status", "Status"),
}

#: Short names on the command line.
ALIASES = {
    "demo": "createdemodata",
    "build": "buildtimeseries",
    "train": "trainsourcemodel",
    "label-windows": "createlabelwindows",
    "pseudo-masks": "makepseudomasks",
    "train-segmentation": "trainsegmentationmodel",
    "train-photo-model": "trainphotomodel",
    "describe": "describemodel",
    "export-model": "exportmodel",
    "shift": "estimatetemporalshift",
    "adapt": "adapttoregion",
    "compare-adaptation": "compareadaptation",
    "plan-map": "planmap",
    "map": "mapcrops",
    "map-zero-shot": "mapzeroshot",
    "map-similarity": "mapsimilarity",
    "map-scenicness": "mapscenicness",
    "retrieve-photos": "retrievephotos",
    "evaluate-photo-model": "evaluatephotomodel",
    "assess": "assessmap",
    "validation-sample": "createvalidationsample",
    "export-windows": "exporttrainingwindows",
    "fetch-clip": "fetchclip",
}


def short_names() -> list[str]:
    """Names of the jobs for the command line: the short one where there is one."""
    short = {name: alias for alias, name in ALIASES.items()}
    return [short.get(name, name) for name in JOBS]


def job_class(name: str) -> type[Job]:
    """Class of the job `name` (or of its short name)."""
    name = ALIASES.get(name, name)
    if name not in JOBS:
        raise InputError(f"There is no job '{name}'.", f"Jobs: {', '.join(JOBS)}.")
    module, attribute = JOBS[name]
    found: type[Job] = getattr(import_module(module), attribute)
    return found


__all__ = ["ALIASES", "JOBS", "Job", "JobResult", "job_class", "short_names"]
