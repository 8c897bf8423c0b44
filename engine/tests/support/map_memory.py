"""Child process: run a map job and print its peak memory. The network is replaced by a cheap rule, so that
reading, queues, journal and writing show, at areas that a test can afford."""

import json
import resource
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from sits_engine.context import JobContext
from sits_engine.jobs import job_class
from sits_engine.models.inference import Predictor
from sits_engine.models.photo_inference import EmbeddingPredictor


def rule(self, values, valid, scale, offset, positions):
    """Class by the parity of the first band; the same kinds of arrays as the network gives."""
    out = np.full((values.shape[2], len(self.card.classes)), 0.1, np.float32)
    out[np.arange(len(out)), values[:, 0].sum(axis=0) % out.shape[1]] = 0.8
    return out * valid.any(axis=0)[:, None]


def cube_rule(self, values, valid, scale, offset, months, head, *, margin=0, wanted=None):
    """Cosines of every pixel with the classes: the same kinds of arrays as the network gives."""
    import torch

    height, width = valid.shape[1] - 2 * margin, valid.shape[2] - 2 * margin
    n = head(torch.zeros(1, self.dim)).shape[1]
    own = values[:, 0, margin : margin + height, margin : margin + width].sum(axis=0) // 1000
    out = np.stack([(own % (k + 2)).astype(np.float32) / (k + 2) for k in range(n)])
    return out * (valid.any(axis=0)[margin : margin + height, margin : margin + width])


def peak_mib():
    """Peak of this program alone: on Linux `ru_maxrss` starts at that of the parent, the tests so far."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


Predictor.predict_pixels = rule
EmbeddingPredictor.predict_cube = cube_rule
params = json.loads(sys.argv[1])
job_class(params.pop("job")).parse(params).run(JobContext())
print(peak_mib())
