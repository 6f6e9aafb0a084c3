"""DBSCAN in blocks: scikit-learn's partition, in memory that a dense pool does not fill."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from pyrite.models import dbscan as module
from pyrite.models.dbscan import SMALL, dbscan, dbscan_in_blocks


def clumps(rng: np.random.Generator, size: int, features: int) -> np.ndarray:
    """Clumps of different widths, a third of them copies of one point."""
    centers = rng.normal(size=(rng.integers(1, 12), features)) * 3
    widths = rng.choice([0.05, 0.3, 1.0], size=(size, 1))
    points = centers[rng.integers(len(centers), size=size)] + rng.normal(size=(size, features)) * (
        widths
    )
    points[: size // 3] = points[0]
    return points


@pytest.mark.parametrize("min_samples", [1, 2, 3, 5])
@pytest.mark.parametrize("eps", [0.1, 0.4, 1.5])
def test_blocks_give_the_labels_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch, eps: float, min_samples: int
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 16)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        points = clumps(rng, int(rng.integers(1, 400)), int(rng.integers(1, 7)))
        expected = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(points)
        assert dbscan_in_blocks(points, eps, min_samples).tolist() == expected.tolist()


def test_a_large_pool_is_partitioned_as_scikit_learn_would() -> None:
    points = clumps(np.random.default_rng(5), 2 * SMALL, 64)
    expected = DBSCAN(eps=1.0, min_samples=2).fit_predict(points)
    assert expected.max() > 0
    assert (expected < 0).any()
    assert dbscan(points, 1.0, 2).tolist() == expected.tolist()


GROWTH = """
import resource, sys
import numpy as np
from pyrite.config import SelectionConfig
from pyrite.models.clustering import cluster

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

rng = np.random.default_rng(0)
points = rng.normal(size=(12_000, 64))
points[:8000] = points[0] + float(sys.argv[1]) * rng.normal(size=(8000, 64))
cluster(points[8000:8500], SelectionConfig())  # what libraries take for themselves
before = peak()
found = cluster(points, SelectionConfig())
print(len(set(found.group[:8000].tolist())), found.noise, (peak() - before) * 1024)
"""


@pytest.mark.parametrize("width", [0.0, 0.02])
def test_memory_is_that_of_the_points_when_most_are_one_crystal(width: float) -> None:
    command = [sys.executable, "-c", GROWTH, str(width)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    groups, noise, growth = map(int, done.stdout.split())
    assert (groups == 1) is (width == 0)
    assert noise >= 4000
    # All neighbours of all points would take 0.5 GB, and scikit-learn takes twice that.
    assert growth < 150e6
