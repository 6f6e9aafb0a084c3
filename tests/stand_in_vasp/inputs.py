"""Everything that a calculation starts from, read and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.stand_in_vasp.incar import Settings, Value, check_lengths, read_incar, settings_of
from tests.stand_in_vasp.kpoints import KpointSet, choose_kpoints
from tests.stand_in_vasp.poscar import Poscar, read_poscar
from tests.stand_in_vasp.potential import ELEMENTS
from tests.stand_in_vasp.refusal import Refusal

_TITEL = re.compile(r"^\s*TITEL\s*=\s*(.*?)\s*$", re.MULTILINE)
_ZVAL = re.compile(r"\bZVAL\s*=\s*([0-9.]+)")
_POMASS = re.compile(r"\bPOMASS\s*=\s*([0-9.]+)")


@dataclass(frozen=True)
class Pseudopotential:
    """The head of one entry of POTCAR: ``mass`` in u, ``valence`` in electrons."""

    titel: str
    mass: float
    valence: float

    @property
    def element(self) -> str:
        """Its symbol, without the suffix that names a variant."""
        return self.titel.split()[1].split("_")[0]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The files of a calculation, as the stand-in understands them."""

    incar: Mapping[str, Value]
    settings: Settings
    poscar: Poscar
    potcar: tuple[Pseudopotential, ...]
    kpoints: KpointSet

    @property
    def electrons(self) -> float:
        """Valence electrons of the cell."""
        counts = [count for _, count in self.poscar.groups]
        return sum(entry.valence * count for entry, count in zip(self.potcar, counts, strict=True))

    @property
    def bands(self) -> int:
        """NBANDS: what INCAR says, or some more than are occupied."""
        given = self.incar.get("NBANDS")
        return (
            given if isinstance(given, int) else self.occupied + len(self.poscar.symbols) // 2 + 3
        )

    @property
    def occupied(self) -> int:
        """Bands that are filled at each k-point."""
        return max(1, round(self.electrons / 2))


def read_inputs(directory: Path) -> Inputs:
    """Read INCAR, POSCAR, POTCAR and KPOINTS of ``directory``.

    Raises
    ------
    Refusal
        When one is missing, or they do not fit each other or the stand-in.
    """
    incar = read_incar(directory / "INCAR")
    settings = settings_of(incar)
    poscar = read_poscar(directory / "POSCAR")
    potcar = _read_potcar(directory / "POTCAR")
    named, listed = [entry.element for entry in potcar], [name for name, _ in poscar.groups]
    if named != listed:
        raise Refusal(
            f"the species of POTCAR ({' '.join(named)}) are not those of POSCAR "
            f"({' '.join(listed)}), in its order"
        )
    foreign = sorted(set(listed) - ELEMENTS)
    if foreign:
        raise Refusal(
            f"the stand-in has no potential for {' '.join(foreign)}; "
            f"it knows {' '.join(sorted(ELEMENTS))}"
        )
    check_lengths(incar, ions=len(poscar.symbols), species=len(potcar))
    inputs = Inputs(
        incar=incar,
        settings=settings,
        poscar=poscar,
        potcar=potcar,
        kpoints=choose_kpoints(
            directory / "KPOINTS", poscar.cell, settings.kspacing, centred=settings.kgamma
        ),
    )
    if inputs.bands < inputs.occupied:
        raise Refusal(f"NBANDS = {inputs.bands} is too small for {inputs.electrons:g} electrons")
    return inputs


def _read_potcar(path: Path) -> tuple[Pseudopotential, ...]:
    if not path.is_file() or not path.stat().st_size:
        raise Refusal("no POTCAR file, or an empty one")
    entries = path.read_text(encoding="utf-8").split("End of Dataset")[:-1]
    try:
        return tuple(
            Pseudopotential(
                titel=_first(_TITEL, entry),
                mass=float(_first(_POMASS, entry)),
                valence=float(_first(_ZVAL, entry)),
            )
            for entry in entries
        )
    except ValueError as error:
        raise Refusal(f"POTCAR does not parse ({error})") from error


def _first(pattern: re.Pattern[str], entry: str) -> str:
    found = pattern.search(entry)
    if found is None or not found[1].strip():
        raise ValueError(f"an entry has nothing like {pattern.pattern!r}")
    return found[1]
