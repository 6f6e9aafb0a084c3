"""Random crystals of random space groups, by PyXtal."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from ase.spacegroup import Spacegroup
from numpy.typing import NDArray
from pymatgen.core import Lattice
from pyxtal.crystal import random_crystal
from pyxtal.lattice import Lattice as PyxtalLattice
from pyxtal.msg import Comp_CompatibilityError, VolumeError
from pyxtal.symmetry import Group
from pyxtal.tolerance import Tol_matrix

from pyrite.models.distances import Pair
from pyrite.models.quiet import quietly

Array = NDArray[np.float64]

_SAME_SITE = 1e-3  # Å


class _NoRoom(Exception):
    """The first lattice of a space group took no atoms."""


class _SingleLattice(PyxtalLattice):
    """A lattice that PyXtal may not replace: another space group is the better next try."""

    _made = False

    def reset_matrix(self, *args: Any, **kwargs: Any) -> None:
        if self._made:
            raise _NoRoom
        super().reset_matrix(*args, **kwargs)
        self._made = True


class SpaceGroupDraws:
    """Crystals of one content in space groups 2 to 230, in an order drawn once.

    Parameters
    ----------
    content : mapping of str to int
        Atoms per cell.
    volumes : tuple of float
        Range, Å³/atom.
    distances : mapping of (str, str) to float
        Closest approach by pair, Å.
    rng : numpy Generator
    """

    def __init__(
        self,
        content: Mapping[str, int],
        volumes: tuple[float, float],
        distances: Mapping[Pair, float],
        rng: np.random.Generator,
    ) -> None:
        self._content = content
        self._volumes = volumes
        self._tolerances = _tolerances(tuple(distances.items()))
        self._rng = rng
        self._groups = self._compatible_groups()

    def draw(self) -> tuple[Array, Array] | None:
        """Try the next space group.

        Returns
        -------
        (positions, cell) or None
            Cartesian positions (N, 3) ordered by element and an LLL-reduced
            cell (3, 3), Å; None if the atoms found no room.
        """
        group, is_primitive = next(self._groups, (None, False))
        if group is None:
            return None
        copies = group.cellsize() if is_primitive else 1
        amounts = list(self._content.values())
        volume = self._rng.uniform(*self._volumes) * sum(amounts) * copies
        with quietly():
            try:
                lattice = _SingleLattice(
                    group.lattice_type,
                    volume,
                    PBC=[1, 1, 1],
                    unique_axis="c",
                    random_state=self._rng,
                )
                crystal = random_crystal(
                    group=group,
                    species=list(self._content),
                    numIons=[amount * copies for amount in amounts],
                    lattice=lattice,
                    tm=self._tolerances,
                    random_state=self._rng,
                )
            except (_NoRoom, VolumeError, Comp_CompatibilityError, ValueError, RuntimeError):
                return None
        return self._unpacked(crystal, is_primitive) if crystal.valid else None

    def _compatible_groups(self) -> Iterator[tuple[Group, bool]]:
        """Round after round; centred groups take the content as conventional or primitive cell."""
        amounts = np.array(list(self._content.values()))
        any_fits = True
        while any_fits:
            any_fits = False
            for number in self._rng.permutation(np.arange(2, 231)).tolist():
                group = _group(number)
                is_primitive = group.cellsize() == 1 or self._rng.random() < 0.5
                copies = group.cellsize() if is_primitive else 1
                if group.check_compatible(amounts * copies)[0]:
                    any_fits = True
                    yield group, is_primitive

    def _unpacked(self, crystal: random_crystal, is_primitive: bool) -> tuple[Array, Array] | None:
        primitive = np.eye(3)
        if is_primitive:
            primitive = np.array(_primitive_cell(crystal.group.number))
        cell = primitive @ np.array(crystal.lattice.matrix)
        blocks = []
        for element, amount in self._content.items():
            sites = [site.coords for site in crystal.atom_sites if site.specie == element]
            scaled = _distinct(np.vstack(sites) @ np.linalg.inv(primitive), cell)
            if len(scaled) != amount:
                return None
            blocks.append(scaled)
        reduced: Array = Lattice(cell).get_lll_reduced_lattice().matrix
        wrapped: Array = (np.vstack(blocks) @ cell @ np.linalg.inv(reduced)) % 1.0 @ reduced
        return wrapped, reduced


def _distinct(scaled: Array, cell: Array) -> Array:
    """Drop positions that are periodic images of an earlier one."""
    distances = Lattice(cell).get_all_distances(scaled, scaled)
    repeats = np.triu(distances < _SAME_SITE, k=1).any(axis=0)
    kept: Array = scaled[~repeats]
    return kept


@lru_cache(maxsize=230)
def _group(number: int) -> Group:
    with quietly():
        return Group(number)


@lru_cache(maxsize=230)
def _primitive_cell(number: int) -> tuple[tuple[float, ...], ...]:
    """Rows are primitive vectors in units of the conventional ones."""
    return tuple(map(tuple, Spacegroup(number).scaled_primitive_cell.tolist()))


@lru_cache(maxsize=8)
def _tolerances(distances: tuple[tuple[Pair, float], ...]) -> Tol_matrix:
    return Tol_matrix(*[(first, second, length) for (first, second), length in distances])
