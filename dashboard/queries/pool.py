"""The pool under one iteration's ensemble: energies, volumes, descriptors, clusters, outcomes.

A pool may have a hundred thousand members. What a figure shows is at most `LIMIT` of them, spread
evenly over the pool's names, and with them all candidates that matter: the best of the top
clusters and those that are labelled next.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrite.documents import Role, StopReason
from pyrite.models.names import SHOWN, spread
from pyrite.views import Views

LIMIT = SHOWN
"""Candidates in one figure."""
type Array = np.ndarray[Any, np.dtype[np.float64]]

REST = -1
"""In `Pool.cluster`: in none of the top clusters."""


@dataclass(frozen=True)
class Pool:
    """Some or all of an iteration's intact candidates, n of them.

    Attributes
    ----------
    iteration
        which one's ensemble speaks
    ids, stop
        (n,) names, and why relaxations ended
    energy, volume
        (n,) where the relaxation ended: eV/atom, Å³/atom
    energy_before, volume_before
        (n,) where the iteration before had ended, by the same ensemble; NaN where there is none
    descriptor
        (n, f) pooled features of the networks
    cluster
        (n,) place among the top clusters, from 0, or `REST`
    selected, labelled
        (n,) whether this iteration chose it for a label, and whether it had one before
    broken
        shown candidates that broke, and are not among the n
    relaxed
        candidates that the iteration has relaxed so far
    everything
        whether all of those are shown, rather than a sample
    """

    iteration: int
    ids: tuple[str, ...]
    stop: tuple[StopReason, ...]
    energy: Array
    volume: Array
    energy_before: Array
    volume_before: Array
    descriptor: Array
    cluster: np.ndarray[Any, np.dtype[np.int64]]
    selected: np.ndarray[Any, np.dtype[np.bool_]]
    labelled: np.ndarray[Any, np.dtype[np.bool_]]
    top: tuple[float, ...]
    broken: int
    relaxed: int
    everything: bool

    @property
    def shown(self) -> int:
        """Intact candidates in this record."""
        return len(self.ids)


@dataclass(frozen=True)
class Outcomes:
    """How the relaxations of one iteration ended."""

    iteration: int
    counts: dict[StopReason, int]


def pool(views: Views, search_id: str, iteration: int, limit: int = LIMIT) -> Pool:
    """Read the pool of one iteration."""
    cycle = next(one for one in views.iterations(search_id) if one["iteration"] == iteration)
    tops = [one["candidate_id"] for one in cycle.get("top") or []]
    chosen = {one["candidate_id"] for one in cycle.get("next_picks") or []}
    relaxed = views.relaxed(search_id, iteration)
    larger = bool(cycle.get("larger_cells", True))
    sample = sample_names(views, search_id, limit, larger=larger) if relaxed > limit else None
    ids = None if sample is None else sorted({*sample, *tops, *chosen})
    points = views.points(search_id, iteration, ids)
    intact = [_at_rest(one) for one in points if not StopReason(one["stop"]).broken]
    names = tuple(str(one["candidate_id"]) for one in intact)
    labelled = {
        one["candidate_id"] for one in views.labels(search_id) if one["iteration"] <= iteration
    }
    return Pool(
        iteration=iteration,
        ids=names,
        stop=tuple(StopReason(one["stop"]) for one in intact),
        energy=_column([one["energy"] for one in intact]),
        volume=_column([_volume(one.get("crystal"), one) for one in intact]),
        energy_before=_column([one.get("previous_energy") for one in intact]),
        volume_before=_column([_volume(one.get("previous_crystal"), one) for one in intact]),
        descriptor=_descriptors(intact),
        cluster=in_clusters(names, views.members_of_top(search_id, iteration)),
        selected=np.array([name in chosen for name in names], dtype=bool),
        labelled=np.array([name in labelled for name in names], dtype=bool),
        top=tuple(float(one["energy"]) for one in cycle.get("top") or []),
        broken=len(points) - len(intact),
        relaxed=relaxed,
        everything=ids is None,
    )


def _at_rest(point: dict[str, Any]) -> dict[str, Any]:
    """Where a candidate ends, as it is ranked, whatever was uncertain on the way."""
    ahead = point.get("ahead")
    if not ahead:
        return point
    cell = {**point["crystal"], "cell": ahead["crystal"]["cell"]}
    return {**point, "energy": ahead["energy"], "descriptor": ahead["descriptor"], "crystal": cell}


def outcomes(views: Views, search_id: str) -> list[Outcomes]:
    """Count how the relaxations of every iteration ended, as its shards have noted."""
    counts: dict[int, Counter[StopReason]] = defaultdict(Counter)
    for one in views.shard_costs(search_id):
        noted = one.get("outcomes") or {}
        counts[int(one["iteration"])].update({StopReason(key): n for key, n in noted.items()})
    return [Outcomes(k, {stop: counts[k][stop] for stop in StopReason}) for k in sorted(counts)]


def sample_names(views: Views, search_id: str, limit: int, *, larger: bool) -> list[str]:
    """Names spread evenly over the pool, without reading it: candidates are numbered.

    Parameters
    ----------
    larger
        whether larger cells are among those that were relaxed
    """
    roles = list(Role) if larger else [Role.TRAIN]
    return spread({role: views.pool_size(search_id, role) for role in roles}, limit)


def in_clusters(
    names: Sequence[str], members: Sequence[Sequence[str]]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Number of the cluster in which each candidate is, or `REST`.

    Parameters
    ----------
    members
        names of the members of each cluster
    """
    place = {name: number for number, cluster in enumerate(members) for name in cluster}
    return np.array([place.get(name, REST) for name in names], dtype=np.int64)


def components(descriptor: Array) -> tuple[Array, tuple[float, float]]:
    """Two principal components of standardised descriptors, (n, 2), and their shares of variance.

    The sign of each is chosen so that its largest loading is positive.
    """
    if len(descriptor) < 2:
        return np.zeros((len(descriptor), 2)), (0.0, 0.0)
    spread = descriptor.std(axis=0)
    points = (descriptor - descriptor.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    _, sizes, rows = np.linalg.svd(points, full_matrices=False)
    rows = (
        rows[:2]
        * np.sign(rows[:2][np.arange(len(rows[:2])), np.abs(rows[:2]).argmax(axis=1)])[:, None]
    )
    if len(rows) < 2:  # one feature
        rows = np.vstack([rows, np.zeros_like(rows)])
        sizes = np.append(sizes, 0.0)
    total = max(float((sizes**2).sum()), 1e-30)
    flat = points @ rows.T
    return flat, (float(sizes[0] ** 2 / total), float(sizes[1] ** 2 / total))


def _column(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if one is None else one for one in values], dtype=float)


def _volume(crystal: dict[str, Any] | None, document: dict[str, Any]) -> float | None:
    if crystal is None:
        return None
    atoms = len(document["crystal"]["numbers"])
    return float(abs(np.linalg.det(np.asarray(crystal["cell"], dtype=float))) / atoms)


def _descriptors(documents: Sequence[dict[str, Any]]) -> Array:
    rows = [one["descriptor"] for one in documents]
    return np.asarray(rows, dtype=float).reshape(len(rows), -1)
