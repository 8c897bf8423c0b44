"""The algorithms of the provider, one a file."""

from .assessmap import AssessMap
from .buildtimeseries import BuildTimeSeries
from .createdemodata import CreateDemoData
from .createvalidationsample import CreateValidationSample
from .describemodel import DescribeModel
from .enginestatus import EngineStatus
from .mapcrops import MapCrops
from .readymodels import CropMapModel
from .setupengine import SetUpEngine
from .trainsourcemodel import TrainSourceModel

#: Classes in the order of a user's work.
ALGORITHMS = (
    SetUpEngine,
    EngineStatus,
    CreateDemoData,
    BuildTimeSeries,
    TrainSourceModel,
    DescribeModel,
    MapCrops,
    AssessMap,
    CreateValidationSample,
    CropMapModel,
)
