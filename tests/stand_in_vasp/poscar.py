"""POSCAR and CONTCAR."""

from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tests.stand_in_vasp.refusal import Refusal

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Poscar:
    """A crystal in the order of its file.

    Attributes
    ----------
    comment : str
        First line.
    symbols : tuple of str
        Element of each of the N ions; an element may come in several groups.
    cell : numpy.ndarray
        Shape (3, 3), rows are lattice vectors, Å.
    scaled : numpy.ndarray
        Shape (N, 3), fractional coordinates.
    """

    comment: str
    symbols: tuple[str, ...]
    cell: Floats
    scaled: Floats

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Neighbouring ions of one element: its symbol and their number."""
        return [(symbol, len(list(ions))) for symbol, ions in groupby(self.symbols)]

    def reversed(self) -> "Poscar":
        """The same crystal, last ion first."""
        return replace(self, symbols=self.symbols[::-1], scaled=self.scaled[::-1])


def read_poscar(path: Path) -> Poscar:
    """Read a POSCAR of VASP 5 or later.

    Raises
    ------
    Refusal
        When it is missing, does not parse, or asks for what the stand-in does not do.
    """
    if not path.is_file() or not path.stat().st_size:
        raise Refusal("no POSCAR file, or an empty one")
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return _parse(lines)
    except (IndexError, ValueError) as error:
        raise Refusal(f"POSCAR does not parse ({error})") from error


def write_poscar(path: Path, poscar: Poscar) -> None:
    """Write ``poscar`` with all digits."""
    groups = poscar.groups
    lines = [
        poscar.comment,
        "   1.00000000000000     ",
        *("".join(f"{x:22.16f}" for x in row) for row in poscar.cell),
        "".join(f"{symbol:>5}" for symbol, _ in groups),
        "".join(f"{count:6d}" for _, count in groups),
        "Direct",
        *("".join(f"{x:20.16f}" for x in row) for row in poscar.scaled),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parse(lines: list[str]) -> Poscar:
    cell = np.array([[float(x) for x in line.split()[:3]] for line in lines[2:5]])
    if cell.shape != (3, 3) or abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError("lines 3 to 5 are not three independent lattice vectors")
    scale = float(lines[1])
    if scale < 0:  # the volume
        scale = float(np.cbrt(-scale / abs(np.linalg.det(cell))))
    cell *= scale
    names = [name.split("/")[0].split("_")[0] for name in lines[5].split()]
    if not all(name.isalpha() for name in names):
        raise ValueError("line 6 does not name the elements")
    counts = [int(count) for count in lines[6].split()]
    if len(names) != len(counts) or min(counts) < 1:
        raise ValueError("lines 6 and 7 do not belong together")
    mode = lines[7].strip().lower()
    if mode.startswith("s"):
        raise Refusal("the stand-in has no selective dynamics, which POSCAR asks for")
    rows = np.array([[float(x) for x in line.split()[:3]] for line in lines[8 : 8 + sum(counts)]])
    if rows.shape != (sum(counts), 3):
        raise ValueError(f"it has not {sum(counts)} positions")
    cartesian = mode.startswith(("c", "k"))
    return Poscar(
        comment=lines[0].strip(),
        symbols=tuple(np.repeat(names, counts).tolist()),
        cell=cell,
        scaled=np.linalg.solve(cell.T, (rows * scale).T).T if cartesian else rows,
    )
