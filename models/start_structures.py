"""Start structures from the user's files."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from pyrite.documents import Crystal
from pyrite.errors import ConfigError
from pyrite.models.composition import formula
from pyrite.models.distances import has_pair_within

if TYPE_CHECKING:
    from pymatgen.core import Structure

_CLOSEST_ATOMS = 0.5  # Å; nearer ones are one atom written twice
_FORMATS = "CIF (.cif), POSCAR (POSCAR*, CONTCAR*, .vasp, .poscar) or extended XYZ (.extxyz, .xyz)"


def read_structures(paths: Iterable[Path | str], section: str = "pool") -> list[Crystal]:
    """All crystals of all files, in order.

    CIF files may hold several blocks and extended XYZ files several frames.

    Parameters
    ----------
    section : of the search file that names them, for messages

    Raises
    ------
    ConfigError
        A file is missing, unreadable or of unknown format, or a structure in it
        is disordered, not periodic in three directions, or has overlapping atoms.
    """
    crystals: list[Crystal] = []
    for path in map(Path, paths):
        if not path.is_file():
            raise ConfigError(f"{section}.files names {path}, which is no file: correct the path")
        reader = _reader(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = reader(path)
        except ConfigError:
            raise
        except Exception as error:  # parsers raise whatever they stumble over
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ConfigError(
                f"{path} cannot be read ({reason}): check that it is a complete {_FORMATS} file"
            ) from error
        if not found:
            raise ConfigError(f"{path} holds no structure: write one into it or remove it")
        for crystal in found:
            _check_geometry(crystal, path)
        crystals += found
    return crystals


def arranged(crystal: Crystal, content: Mapping[str, int], section: str = "pool") -> Crystal:
    """The crystal with its atoms ordered by element as in ``content``.

    Parameters
    ----------
    section : of the search file that names it, for messages

    Raises
    ------
    ConfigError
        The cell holds something else than ``content``.
    """
    amounts = Counter(chemical_symbols[number] for number in crystal.numbers)
    if amounts != Counter(content):
        raise ConfigError(
            f"a structure of {section}.files holds {formula(amounts)} but the cell there is "
            f"{formula(content)}: bring it to the same cell content or change composition"
        )
    rank = {atomic_numbers[element]: place for place, element in enumerate(content)}
    order = sorted(range(len(crystal.numbers)), key=lambda i: rank[crystal.numbers[i]])
    return Crystal(
        numbers=tuple(crystal.numbers[i] for i in order),
        positions=tuple(crystal.positions[i] for i in order),
        cell=crystal.cell,
    )


def _reader(path: Path) -> Callable[[Path], list[Crystal]]:
    suffix, name = path.suffix.lower(), path.name.upper()
    if suffix == ".cif":
        return _read_cif
    if suffix in {".extxyz", ".xyz"}:
        return _read_extxyz
    if suffix in {".vasp", ".poscar"} or name.startswith(("POSCAR", "CONTCAR")):
        return _read_poscar
    raise ConfigError(f"{path} has no known format: name it as {_FORMATS}")


def _read_cif(path: Path) -> list[Crystal]:
    from pymatgen.io.cif import CifParser

    structures = CifParser(path).parse_structures(primitive=False, on_error="raise")
    return [_ordered(structure, path) for structure in structures]


def _read_poscar(path: Path) -> list[Crystal]:
    from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar

    # Without element symbols pymatgen makes some up, and says so only in a warning.
    warnings.simplefilter("error", BadPoscarWarning)
    return [_ordered(Poscar.from_file(path, check_for_potcar=False).structure, path)]


def _read_extxyz(path: Path) -> list[Crystal]:
    from ase.io import read

    frames = read(path, index=":", format="extxyz")
    for frame in frames:
        if not frame.pbc.all() or frame.cell.rank < 3:
            raise ConfigError(
                f"{path} holds a structure that is not periodic in three directions: "
                'give its Lattice and pbc="T T T"'
            )
    return [Crystal.from_atoms(frame) for frame in frames]


def _ordered(structure: "Structure", path: Path) -> Crystal:
    if not structure.is_ordered:
        raise ConfigError(
            f"{path} holds a disordered structure: give an ordered one, without partial occupancies"
        )
    return Crystal.from_structure(structure)


def _check_geometry(crystal: Crystal, path: Path) -> None:
    known = all(0 < number < len(chemical_symbols) for number in crystal.numbers)
    finite = np.isfinite(crystal.positions).all() and np.isfinite(crystal.cell).all()
    if not known or not finite or not crystal.volume_per_atom > 0:
        raise ConfigError(
            f"{path} holds a structure with unknown elements or without a finite cell: correct it"
        )
    atoms = crystal.to_atoms()
    if has_pair_within(_CLOSEST_ATOMS, atoms.positions, atoms.cell.array):
        raise ConfigError(
            f"{path} holds atoms closer than {_CLOSEST_ATOMS} Å: remove the ones written twice"
        )
