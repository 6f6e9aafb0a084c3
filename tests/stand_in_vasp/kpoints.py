"""The k-points of a calculation, from KPOINTS or KSPACING."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tests.stand_in_vasp.refusal import Refusal

Floats = npt.NDArray[np.float64]
GAMMA, MONKHORST, LISTED = "Gamma", "Monkhorst-Pack", "Listgenerated"


@dataclass(frozen=True, eq=False)
class KpointSet:
    """Points in units of the reciprocal lattice, without their mirror images at −k.

    Attributes
    ----------
    style : str
        As vasprun.xml names it.
    divisions : tuple of int or None
        Of a mesh.
    points : numpy.ndarray
        Shape (K, 3).
    weights : numpy.ndarray
        Shape (K,), of sum 1.
    """

    style: str
    divisions: tuple[int, int, int] | None
    points: Floats
    weights: Floats


def choose_kpoints(path: Path, cell: Floats, spacing: float | None, *, centred: bool) -> KpointSet:
    """The points of the file ``path``, or else those that KSPACING asks for.

    Parameters
    ----------
    cell : (3, 3), Å
    spacing : KSPACING, 1/Å with the factor 2π
    centred : KGAMMA

    Raises
    ------
    Refusal
        When there is neither, or a kind of KPOINTS that the stand-in does not read.
    """
    if path.is_file():
        try:
            return _parse(path.read_text(encoding="utf-8").splitlines())
        except (IndexError, ValueError) as error:
            raise Refusal(f"KPOINTS does not parse ({error})") from error
    if spacing is None:
        raise Refusal("neither a KPOINTS file nor KSPACING in INCAR")
    if spacing <= 0:
        raise Refusal(f"KSPACING = {spacing} is not positive")
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    a, b, c = (max(1, int(np.ceil(length / spacing - 1e-9))) for length in lengths)
    return _mesh(GAMMA if centred else MONKHORST, (a, b, c), np.zeros(3))


def _parse(lines: list[str]) -> KpointSet:
    count, style = int(lines[1].split()[0]), lines[2].strip().lower()
    if count > 0:
        if not style.startswith("r"):
            raise Refusal("KPOINTS lists points, but not in reciprocal coordinates")
        rows = np.array([[float(x) for x in line.split()[:4]] for line in lines[3 : 3 + count]])
        return KpointSet(LISTED, None, rows[:, :3], rows[:, 3] / rows[:, 3].sum())
    if not style.startswith(("g", "m")):
        raise Refusal(f"KPOINTS is of the kind {lines[2].strip()!r}; the stand-in reads meshes")
    a, b, c = (int(x) for x in lines[3].split()[:3])
    shift = [float(x) for x in lines[4].split()[:3]] if len(lines) > 4 and lines[4].split() else []
    return _mesh(
        GAMMA if style.startswith("g") else MONKHORST, (a, b, c), np.array(shift or [0.0] * 3)
    )


def _mesh(style: str, divisions: tuple[int, int, int], shift: Floats) -> KpointSet:
    if min(divisions) < 1:
        raise ValueError(f"{divisions} are no divisions")
    steps = np.array(list(product(*(range(n) for n in divisions))), dtype=float)
    centre = 0.0 if style == GAMMA else (np.array(divisions) - 1) / 2
    grid = np.round((steps - centre + shift) / np.array(divisions), 10)
    weights: dict[tuple[float, ...], int] = {}
    for point in grid:
        key = min(_home(point), _home(-point))
        weights[key] = weights.get(key, 0) + 1
    points = np.array(list(weights))
    return KpointSet(
        style=style,
        divisions=divisions,
        points=points - np.round(points),
        weights=np.array(list(weights.values())) / len(grid),
    )


def _home(point: Floats) -> tuple[float, ...]:
    """Its image in the first cell of the reciprocal lattice."""
    inside = np.round(point % 1.0, 8) % 1.0
    return tuple(inside.tolist())
