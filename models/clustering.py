"""Grouping candidates that have become the same crystal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler

from pyrite.config import SelectionConfig
from pyrite.models.dbscan import dbscan

_EPS_FACTOR = 0.8
_MAX_SHRINKS = 12
# As many groups as the paper asks of its pool: 200 of 1000.
_CANDIDATES_PER_GROUP = 5


@dataclass(frozen=True)
class Clusters:
    """A partition of n candidates.

    Attributes
    ----------
    group : (n,) int, the same for members of one cluster; a candidate that
        belongs to none (noise) is a group of its own
    clusters : clusters of two or more, noise not counted
    noise : candidates in no cluster
    eps : DBSCAN radius that was used, in standardised units
    points : (n, f), the descriptors in standardised units
    """

    group: np.ndarray
    clusters: int
    noise: int
    eps: float
    points: np.ndarray | None = None


def cluster(descriptors: Sequence[Sequence[float]], config: SelectionConfig) -> Clusters:
    """DBSCAN on standardised descriptors.

    The radius shrinks until there are enough groups (``min_groups``, or a fifth
    of the candidates where that is less), and clusters above
    ``max_cluster_size`` are split with ever smaller radii.

    Parameters
    ----------
    descriptors : n rows of f features
    """
    if not len(descriptors):
        return Clusters(np.zeros(0, dtype=int), 0, 0, config.eps)
    points = StandardScaler().fit_transform(np.asarray(descriptors, dtype=float))
    wanted = min(config.min_groups, len(points) // _CANDIDATES_PER_GROUP)
    eps = config.eps
    labels = dbscan(points, eps, config.min_samples)
    for _ in range(_MAX_SHRINKS):
        if _count(labels) + int((labels < 0).sum()) >= wanted:
            break
        eps *= _EPS_FACTOR
        labels = dbscan(points, eps, config.min_samples)
    labels = _split_large(points, labels, eps, config)
    group = labels.copy()
    alone = labels < 0
    group[alone] = labels.max(initial=-1) + 1 + np.arange(alone.sum())
    return Clusters(group, _count(labels), int(alone.sum()), eps, points)


def _split_large(
    points: np.ndarray, labels: np.ndarray, eps: float, config: SelectionConfig
) -> np.ndarray:
    labels = labels.copy()
    for _ in range(_MAX_SHRINKS):
        eps *= _EPS_FACTOR
        sizes = np.bincount(labels[labels >= 0], minlength=1)
        large = np.flatnonzero(sizes > config.max_cluster_size)
        if not len(large):
            break
        for one in large:
            members = np.flatnonzero(labels == one)
            parts = dbscan(points[members], eps, config.min_samples)
            labels[members] = np.where(parts < 0, -1, labels.max() + 1 + parts)
    return labels


def _count(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels >= 0]))
