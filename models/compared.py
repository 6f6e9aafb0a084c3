"""Which candidates of a large pool need not be compared with crystals one by one."""

import numpy as np

from pyrite.models.clustering import Clusters

# In pools of up to this many candidates, whoever is asked about is compared.
MANY = 2000


class Compared:
    """Candidates whose crystals have been compared, and who else they stand for.

    Most of a large pool may have become one crystal, in thousands of groups: to match the
    structure of each would take hours. Once `MANY` candidates have been compared, each of them
    stands for all others whose descriptors lie within the radius of the clustering.

    Parameters
    ----------
    clusters : of the candidates
    """

    def __init__(self, clusters: Clusters) -> None:
        self._points, self._eps = clusters.points, clusters.eps
        self._like: dict[int, int] = {}
        self._places: list[int] = []
        self._compared = np.zeros((0, 0))  # points of these places, or of some of them

    def add(self, index: int) -> None:
        """Note that a candidate has been compared."""
        self._places.append(index)
        self._like[index] = index

    def like(self, index: int) -> int | None:
        """The compared candidate that stands for another, or None: compare it, and add it."""
        if index not in self._like and len(self._places) >= MANY and self._points is not None:
            if len(self._compared) < len(self._places):
                self._compared = self._points[self._places]
            squares = ((self._compared - self._points[index]) ** 2).sum(axis=1)
            nearest = int(np.argmin(squares))
            if squares[nearest] <= self._eps**2:
                self._like[index] = self._places[nearest]
        return self._like.get(index)
