"""DBSCAN whose memory grows with the number of points, not with their neighbours.

scikit-learn's keeps the neighbours of every point at once, and some crystals are found by
most of a large pool: 60 000 neighbours of 60 000 points are 29 GB.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import DBSCAN

# Points whose neighbourhoods scikit-learn may keep: 8 MB at most.
SMALL = 1000
_BLOCK = 256

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]


def dbscan(points: Floats, eps: float, min_samples: int) -> Integers:
    """Label points by cluster, -1 for noise: the partition of scikit-learn's DBSCAN.

    Above `SMALL` points, blocks of nearby points are compared pair by pair; pairs too far apart,
    and points whose common cluster is known, are passed over.

    Parameters
    ----------
    points : (n, f)
    eps : radius of a neighbourhood
    min_samples : points in the neighbourhood of a core point, itself included

    Returns
    -------
    labels : (n,) int, clusters numbered by their first core point
    """
    if len(points) <= SMALL:
        found: Integers = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(points)
        return found
    return dbscan_in_blocks(points, eps, min_samples)


def dbscan_in_blocks(points: Floats, eps: float, min_samples: int) -> Integers:
    """The same, whatever the number of points."""
    blocks = _Blocks(points)
    if min_samples <= 2:  # a neighbour's neighbour is a core point: no need to count
        component = _components(blocks, eps, np.ones(len(points), dtype=bool))
        core = (min_samples == 1) | (np.bincount(component)[component] > 1)
        border = np.zeros(0, dtype=np.int64)
    else:
        count = _neighbours(blocks, eps, min_samples)
        core = count >= min_samples
        component = _components(blocks, eps, core)
        border = np.flatnonzero(~core & (count > 1))
    label = _numbered(component, core, blocks.order)
    _join(blocks, eps, border, label, core)
    labels = np.empty_like(label)
    labels[blocks.order] = label
    return labels


class _Blocks:
    """Points in an order in which those of a block lie close to each other.

    Attributes
    ----------
    order : (n,) int, where the points stood
    points : (n, f), in the new order, along their principal axes
    start : (b + 1,) int, where blocks begin, and the end
    """

    def __init__(self, points: Floats) -> None:
        # Along principal axes boxes are tight: features of a network are far from independent.
        centred = points - points.mean(axis=0)
        turned = centred @ np.linalg.eigh(centred.T @ centred).eigenvectors
        parts = list(_split(turned, np.arange(len(points))))
        self.order = np.concatenate(parts)
        self.start = np.cumsum([0, *map(len, parts)])
        self.points = turned[self.order]
        self._half_square = (self.points**2).sum(axis=1) / 2
        self._low = np.minimum.reduceat(self.points, self.start[:-1])
        self._high = np.maximum.reduceat(self.points, self.start[:-1])

    def __len__(self) -> int:
        return len(self.start) - 1

    def members(self, block: int) -> Integers:
        """Places of a block's points."""
        return np.arange(self.start[block], self.start[block + 1])

    def near(self, block: int, eps: float) -> Integers:
        """Blocks that may hold neighbours of this one's points, the nearest first."""
        low, high = self._low - self._high[block], self._low[block] - self._high
        gap = (np.maximum(np.maximum(low, high), 0) ** 2).sum(axis=1)
        order = np.argsort(gap, kind="stable")
        # A touch wider than the radius, so that rounding loses nobody.
        close: Integers = order[gap[order] <= eps**2 * (1 + 1e-9)]
        return close

    def within(self, some: Integers, others: Integers, eps: float) -> NDArray[np.bool_]:
        """Which pairs are neighbours: |a - b|² ≤ eps², from one matrix product."""
        product = self.points[some] @ self.points[others].T
        product -= self._half_square[others]
        close: NDArray[np.bool_] = product >= (self._half_square[some] - eps**2 / 2)[:, None]
        return close


def _split(points: Floats, members: Integers) -> Iterator[Integers]:
    """Halve along the widest axis until blocks are small."""
    if len(members) <= _BLOCK:
        yield members
        return
    mine = points[members]
    axis = np.argmax(np.ptp(mine, axis=0))
    order = np.argsort(mine[:, axis], kind="stable")
    half = len(members) // 2
    yield from _split(points, members[order[:half]])
    yield from _split(points, members[order[half:]])


def _components(blocks: _Blocks, eps: float, core: NDArray[np.bool_]) -> Integers:
    """Connected components of the core points; other points are left alone."""
    component = np.arange(len(core))
    for block in range(len(blocks)):
        mine = blocks.members(block)
        mine = mine[core[mine]]
        joined: list[Integers] = []
        for other in blocks.near(block, eps).tolist():
            if other < block:
                continue
            theirs = blocks.members(other)
            theirs = theirs[core[theirs]]
            for some, others in _open_pairs(mine, theirs, component):
                close = blocks.within(some, others, eps)
                if close.any():
                    joined.append(_spanning(some, others, close))
        component = _merged(component, joined)
    return component


def _open_pairs(
    mine: Integers, theirs: Integers, component: Integers
) -> Iterator[tuple[Integers, Integers]]:
    """Pairs of points to compare: all but those of the component that most of mine are in."""
    if not len(mine) or not len(theirs):
        return
    values, counts = np.unique(component[mine], return_counts=True)
    common = values[np.argmax(counts)]
    inside, theirs_inside = component[mine] == common, component[theirs] == common
    for some, others in ((mine[~inside], theirs), (mine[inside], theirs[~theirs_inside])):
        if len(some) and len(others):
            yield some, others


def _spanning(some: Integers, others: Integers, close: NDArray[np.bool_]) -> Integers:
    """Few edges, (2, e), that connect what all pairs of neighbours connect."""
    rows, columns = np.nonzero(close)
    if len(rows) < len(some):
        return np.stack([some[rows], others[columns]])
    places = np.concatenate([some, others])
    graph = coo_array(
        (np.ones(len(rows), dtype=bool), (rows, columns + len(some))), shape=(len(places),) * 2
    )
    _, label = connected_components(graph, directed=False)
    first = np.unique(label, return_index=True)[1]
    return np.stack([places, places[first[label]]])


def _merged(component: Integers, joined: list[Integers]) -> Integers:
    """Components after some of them have been joined by edges between points."""
    if not joined:
        return component
    edges = component[np.concatenate(joined, axis=1)]
    nodes, ends = np.unique(edges, return_inverse=True)
    ends = ends.reshape(2, -1)
    graph = coo_array((np.ones(ends.shape[1], dtype=bool), (ends[0], ends[1])), (len(nodes),) * 2)
    _, label = connected_components(graph, directed=False)
    table = np.arange(len(component))
    table[nodes] = nodes[np.unique(label, return_index=True)[1][label]]
    merged: Integers = table[component]
    return merged


def _neighbours(blocks: _Blocks, eps: float, enough: int) -> Integers:
    """Points in each neighbourhood; where there are enough, they may be more than counted."""
    count = np.zeros(len(blocks.order), dtype=np.int64)
    for block in range(len(blocks)):
        mine = blocks.members(block)
        for other in blocks.near(block, eps).tolist():
            mine = mine[count[mine] < enough]
            count[mine] += blocks.within(mine, blocks.members(other), eps).sum(axis=1)
    return count


def _numbered(component: Integers, core: NDArray[np.bool_], order: Integers) -> Integers:
    """Clusters in the order of their first core points; -1 for all others."""
    label = np.full(len(core), -1)
    values, inverse = np.unique(component[core], return_inverse=True)
    first = np.full(len(values), len(core))
    np.minimum.at(first, inverse, order[core])
    number = np.empty_like(first)
    number[np.argsort(first)] = np.arange(len(first))
    label[core] = number[inverse]
    return label


def _join(
    blocks: _Blocks, eps: float, border: Integers, label: Integers, core: NDArray[np.bool_]
) -> None:
    """Give points of the border the first cluster that reaches them."""
    for block in range(len(blocks)):
        mine = border[(border >= blocks.start[block]) & (border < blocks.start[block + 1])]
        if not len(mine):
            continue
        first = np.full(len(mine), len(label))
        for other in blocks.near(block, eps).tolist():
            theirs = blocks.members(other)
            theirs = theirs[core[theirs]]
            close = blocks.within(mine, theirs, eps)
            reached = np.where(close, label[theirs], len(label)).min(axis=1, initial=len(label))
            first = np.minimum(first, reached)
        label[mine] = np.where(first < len(label), first, -1)
