"""The crystals of a search: its ranking, or before that the top clusters; pattern and files."""

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from pyrite.documents import Crystal
from pyrite.errors import StoreError
from pyrite.views import Views

WAVELENGTH = "CuKa"
"""Of the simulated pattern: copper K-alpha, 1.5418 Å."""
TWO_THETA = (10.0, 90.0)


@dataclass(frozen=True)
class Entry:
    """One crystal that can be looked at.

    Attributes
    ----------
    key
        names it in addresses: ``rank-1``, or ``iteration-3-top-1``
    energy, above
        eV/atom, and meV/atom above the lowest of the list
    found, calls
        the iteration that first found it, and what the reference had spent; None where unknown
    converged
        whether the relaxation came to rest
    stress
        that the reference's relaxation left, GPa
    """

    key: str
    place: int
    energy: float
    above: float
    symbol: str
    number: int
    volume: float
    converged: bool
    crystal: Crystal
    found: int | None = None
    calls: int | None = None
    stress: float | None = None

    @property
    def group(self) -> str:
        """Symbol of the space group with its subscripts, such as P6₃/mmc."""
        return re.sub(r"_(\d)", lambda found: chr(0x2080 + int(found[1])), self.symbol)


@dataclass(frozen=True)
class Crystals:
    """What a search has found: by the reference if ``ranked``, else by the ensemble."""

    ranked: bool
    iteration: int | None
    entries: tuple[Entry, ...]

    def entry(self, key: str | None) -> Entry | None:
        """The crystal of that key, else the first; None if there are none."""
        first = self.entries[0] if self.entries else None
        return next((one for one in self.entries if one.key == key), first)


@dataclass(frozen=True)
class Pattern:
    """A powder pattern: angles 2θ in degrees, intensities in percent of the strongest line."""

    angles: tuple[float, ...]
    intensities: tuple[float, ...]
    indices: tuple[str, ...]


def crystals(views: Views, search_id: str) -> Crystals:
    """The ranking of a search; before the end, the top clusters of the last iteration."""
    result = views.store.result(search_id)
    if result is not None:
        ranking = tuple(
            Entry(
                key=f"rank-{one.rank}",
                place=one.rank,
                energy=one.energy_ev_per_atom,
                above=1000 * one.energy_above_lowest_ev_per_atom,
                symbol=one.space_group_symbol,
                number=one.space_group_number,
                volume=one.volume_a3_per_atom,
                converged=one.converged,
                crystal=one.crystal,
                found=one.first_found_iteration,
                calls=one.reference_calls_first_found,
                stress=one.residual_stress_gpa,
            )
            for one in result.ranking
        )
        return Crystals(True, None, ranking)
    clustered = [one["iteration"] for one in views.iterations(search_id) if one.get("top")]
    if not clustered:
        return Crystals(False, None, ())
    return Crystals(False, clustered[-1], _top(views, search_id, int(clustered[-1])))


def entry(views: Views, search_id: str, key: str) -> Entry:
    """One crystal by its key, also of an iteration that is over.

    Raises
    ------
    StoreError
        There is none.
    """
    kind, _, rest = key.partition("-")
    iteration = rest.partition("-")[0]
    if kind == "iteration" and iteration.isdecimal():
        found = _top(views, search_id, int(iteration))
    else:
        found = crystals(views, search_id).entries
    for one in found:
        if one.key == key:
            return one
    raise StoreError(f"search {search_id} has no crystal called {key}; its page lists them")


def _top(views: Views, search_id: str, iteration: int) -> tuple[Entry, ...]:
    symprec = views.store.get_search(search_id).config.validation.symprec
    top = views.store.iteration(search_id, iteration).top
    lowest = min((one.energy for one in top), default=0.0)
    entries = []
    for place, one in enumerate(top, start=1):
        symbol, number = symmetry(one.crystal, symprec)
        entries.append(
            Entry(
                key=f"iteration-{iteration}-top-{place}",
                place=place,
                energy=one.energy,
                above=1000 * (one.energy - lowest),
                symbol=symbol,
                number=number,
                volume=one.crystal.volume_per_atom,
                converged=one.settled,
                crystal=one.crystal,
            )
        )
    return tuple(entries)


@lru_cache(maxsize=512)
def symmetry(crystal: Crystal, symprec: float) -> tuple[str, int]:
    """Space group, symbol and number, at a tolerance in Å."""
    from pyrite.models.ranking import space_group

    return space_group(crystal, symprec)


@lru_cache(maxsize=128)
def pattern(crystal: Crystal, symprec: float) -> Pattern:
    """The simulated powder pattern of a crystal by pymatgen.

    It is that of the conventional cell, symmetrised within `symprec` (Å), whose indices are
    the ones that people know.
    """
    from pymatgen.analysis.diffraction.xrd import XRDCalculator
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = crystal.to_structure()
    with suppress(TypeError, ValueError, AttributeError):  # spglib sees no symmetry at all
        analyzer = SpacegroupAnalyzer(structure, symprec=symprec)
        structure = analyzer.get_conventional_standard_structure()
    found = XRDCalculator(wavelength=WAVELENGTH).get_pattern(structure, two_theta_range=TWO_THETA)
    indices = tuple("".join(_index(n) for n in families[0]["hkl"]) for families in found.hkls)
    return Pattern(tuple(float(x) for x in found.x), tuple(float(y) for y in found.y), indices)


def _index(n: int) -> str:
    return f"{-n}\u0305" if n < 0 else str(n)


def content(crystal: Crystal) -> str:
    """What the cell holds, such as Na8Cl8 with its lengths and angles."""
    structure = crystal.to_structure()
    lattice = structure.lattice
    lengths = " × ".join(f"{one:.2f}" for one in lattice.abc)
    angles = ", ".join(f"{one:.0f}°" for one in lattice.angles)
    return f"{structure.composition.formula.replace(' ', '')} in {lengths} Å, {angles}"
