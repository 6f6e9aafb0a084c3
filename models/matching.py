"""Telling whether two crystals are the same."""

from collections.abc import Sequence
from functools import lru_cache

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from pyrite.documents import Crystal


@lru_cache(maxsize=1)
def _matcher() -> StructureMatcher:
    # Volumes are part of a crystal: without rescaling, a stretched copy is another one.
    # Supercells, since residual forces can keep a cell from being reduced all the way.
    return StructureMatcher(
        ltol=0.2, stol=0.3, angle_tol=5, primitive_cell=True, scale=False, attempt_supercell=True
    )


@lru_cache(maxsize=4096)
def _reduced(crystal: Crystal) -> Structure:
    """Primitive Niggli cell: most of the cost of a comparison, and the same in each.

    pymatgen has a cache of its own, in which all cells of one composition share a hash.
    """
    return crystal.to_structure().get_reduced_structure("niggli").get_primitive_structure()


def same_crystal(one: Crystal, other: Crystal) -> bool:
    """Whether two crystals agree, whatever their cell setting, origin or atom order.

    pymatgen's StructureMatcher on primitive cells; its default tolerances: lattice
    lengths may differ by 20 %, positions by 0.3 (V/N)^⅓ (rms) and angles by 5°.
    """
    return bool(_matcher().fit(_reduced(one), _reduced(other), skip_structure_reduction=True))


def find_same(crystal: Crystal, others: Sequence[Crystal]) -> int | None:
    """Index of the first crystal in ``others`` that is the same, or None."""
    return next((k for k, other in enumerate(others) if same_crystal(crystal, other)), None)
