"""One crystal as the text of a file that other programs read."""

from typing import Literal

from pyrite.documents import Crystal


def structure_text(crystal: Crystal, fmt: Literal["cif", "poscar"]) -> str:
    """A crystal as CIF (in P1) or POSCAR, with the atoms of each element together."""
    return str(crystal.to_structure().get_sorted_structure().to(fmt=fmt))
