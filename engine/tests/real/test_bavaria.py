"""301 parcels near Freising: is the network at least as good as a random forest on so few samples?"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, train_test_split

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.learning.run import RunOptions, train_network
from sits_engine.learning.supervised import FitOptions, Validation
from sits_engine.learning.transforms import Sampling
from sits_engine.samples.classes import assign_classes
from sits_engine.samples.tables import TableOptions, read_labelled_series

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def parcels(real_data):
    folder = real_data("bavaria_freising_2018")
    options = TableOptions("common_class", str(folder / "parcels.gpkg"), "parcel_id")
    sets, notes = read_labelled_series(folder / "s2_l1c_parcel_means.csv.gz", options)
    assert any("taken as times 10,000" in note for note in notes)
    sets = sets.subset(np.array([name != "other" for name in sets.classes])[sets.labels])
    return assign_classes(sets, min_parcels=9)[0]


def test_parcel_means_are_read_as_reflectance(parcels) -> None:
    assert len(parcels) == 276
    assert len(parcels.classes) == 8
    assert parcels.counts.min() == 9
    nir = parcels.values[..., parcels.bands.index("B08")]
    assert 0.2 < np.median(nir) < 0.5
    assert np.isfinite(parcels.xy).all()
    assert (parcels.positions[:, 0] == 45).all()


def test_not_below_a_random_forest_in_the_same_folds(parcels) -> None:
    """Default settings; a sixth of each training fold chooses the epoch, which the forest needn't."""
    flat = parcels.values.reshape(len(parcels), -1)
    by_forest, by_network = np.zeros((2, len(parcels)), dtype=np.int64)
    cpu = device.select("cpu")
    for learn, held in FOLDS.split(flat, parcels.labels):
        forest = RandomForestClassifier(500, random_state=0).fit(flat[learn], parcels.labels[learn])
        by_forest[held] = forest.predict(flat[held])
        own, choose = train_test_split(learn, test_size=0.15, random_state=0, stratify=parcels.labels[learn])
        options = RunOptions(effort="standard", seed=0)
        network = train_network(parcels.subset(own), parcels.subset(choose), options, cpu, JobContext())
        look = Validation(parcels.subset(held), network.bands, FitOptions(1, 1, Sampling()), cpu)
        by_network[held] = look.logits(network.fitted.module, JobContext()).argmax(1)
    scores = {
        name: (
            accuracy_score(parcels.labels, found),
            f1_score(parcels.labels, found, average="macro"),
        )
        for name, found in (("forest", by_forest), ("network", by_network))
    }
    print(scores)
    assert scores["network"][0] >= scores["forest"][0]
    assert scores["network"][1] >= scores["forest"][1]
    assert scores["network"][0] >= 0.88
    assert scores["network"][1] >= 0.79
