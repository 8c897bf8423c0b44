"""The algorithms of the provider, one a file."""

from .adapttoregion import AdaptToRegion
from .assessmap import AssessMap
from .buildtimeseries import BuildTimeSeries
from .compareadaptation import CompareAdaptation
from .createdemodata import CreateDemoData
from .createlabelwindows import CreateLabelWindows
from .createvalidationsample import CreateValidationSample
from .describemodel import DescribeModel
from .enginestatus import EngineStatus
from .estimatetemporalshift import EstimateTemporalShift
from .evaluatephotomodel import EvaluatePhotoModel
from .exportmodel import ExportModel
from .exporttrainingwindows import ExportTrainingWindows
from .fetchclip import FetchClip
from .makepseudomasks import MakePseudoMasks
from .mapcrops import MapCrops
from .mapscenicness import MapScenicness
from .mapsimilarity import MapSimilarity
from .mapzeroshot import MapZeroShot
from .planmap import PlanMap
from .readymodels import AdaptAndMap, CropMapModel, WindowsToMap
from .retrievephotos import RetrievePhotos
from .setupengine import SetUpEngine
from .trainphotomodel import TrainPhotoModel
from .trainsegmentationmodel import TrainSegmentationModel
from .trainsourcemodel import TrainSourceModel

#: Classes in the order of a user's work.
ALGORITHMS = (
    SetUpEngine,
    EngineStatus,
    CreateDemoData,
    BuildTimeSeries,
    TrainSourceModel,
    CreateLabelWindows,
    MakePseudoMasks,
    TrainSegmentationModel,
    DescribeModel,
    EstimateTemporalShift,
    AdaptToRegion,
    PlanMap,
    MapCrops,
    AssessMap,
    CreateValidationSample,
    CompareAdaptation,
    ExportTrainingWindows,
    ExportModel,
    TrainPhotoModel,
    MapZeroShot,
    MapSimilarity,
    RetrievePhotos,
    MapScenicness,
    EvaluatePhotoModel,
    FetchClip,
    CropMapModel,
    AdaptAndMap,
    WindowsToMap,
)
