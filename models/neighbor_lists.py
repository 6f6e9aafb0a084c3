"""Neighbour lists of crystals whose atoms and cells move a little at every step."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from pyrite.models.dataset import Neighbors, neighbors


@dataclass(frozen=True)
class _Built:
    """A list of all pairs within cutoff + skin, and the geometry it was made for."""

    positions: np.ndarray
    cell: np.ndarray
    edges: Neighbors


class NeighborLists:
    """Lists that are made again only when they may miss a pair.

    Between a geometry (r₀, h₀) and a later one (r, h) let A = h₀⁻¹ h be the
    deformation of the cell and u = r − r₀ A what atoms moved beside it. A pair
    that is now closer than the cutoff was closer than (cutoff + 2 max|u|) / σ(A)
    then, where σ(A) is the smallest singular value. While this does not exceed
    cutoff + skin, the old list holds every pair, whatever the cell did; pairs
    beyond the cutoff are dropped, so the result is that of a fresh list.

    Parameters
    ----------
    cutoff, skin : Å
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        self.cutoff, self.skin = cutoff, skin
        self.built = 0
        self._lists: dict[Hashable, _Built] = {}

    def find(
        self, name: Hashable | None, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[Neighbors, np.ndarray]:
        """Pairs closer than the cutoff, and their distances.

        Parameters
        ----------
        name : whose list it is; None to keep none. A wrong name costs time, never a pair.
        positions : (N, 3), Å
        cell : (3, 3), rows are lattice vectors, Å

        Returns
        -------
        edges, distances : E pairs, (E,) in Å
        """
        kept = self._lists.get(name) if name is not None else None
        if kept is None or not self._holds(kept, positions, cell):
            reach = self.cutoff + (self.skin if name is not None else 0.0)
            kept = _Built(positions.copy(), cell.copy(), neighbors(positions, cell, reach))
            self.built += 1
            if name is not None:
                self._lists[name] = kept
        edges = kept.edges
        vectors = positions[edges.j] - positions[edges.i] + edges.shifts @ cell
        distances = np.sqrt(np.einsum("ec,ec->e", vectors, vectors))
        near = distances < self.cutoff
        return Neighbors(edges.i[near], edges.j[near], edges.shifts[near]), distances[near]

    def forget(self, name: Hashable) -> None:
        """Drop a list that will not be asked for again."""
        self._lists.pop(name, None)

    def _holds(self, kept: _Built, positions: np.ndarray, cell: np.ndarray) -> bool:
        if kept.positions.shape != positions.shape:
            return False
        deformation = np.linalg.solve(kept.cell, cell)
        moved = np.linalg.norm(positions - kept.positions @ deformation, axis=1).max()
        shrunk = np.linalg.svd(deformation, compute_uv=False)[-1]
        return bool(self.cutoff + 2 * moved <= shrunk * (self.cutoff + self.skin))
