"""A calculator that relaxations cannot run away with."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from pyrite.errors import LabelError

MIN_VOLUME_PER_ATOM = 1.5  # Å³; hydrogen in the densest known hydrides has more
MAX_VOLUME_PER_ATOM = 1000.0  # Å³
MIN_CELL_HEIGHT = 0.9  # Å; thinner cells have thousands of periodic neighbours


class WatchedCalculator(Calculator):
    """A calculator that counts its evaluations and refuses geometries out of bounds.

    Relaxations run away: a collapsing cell gets an unbounded number of neighbours,
    and a NaN travels on silently. Both end here, as a :class:`LabelError`.

    Parameters
    ----------
    inner : Calculator
        The calculator that does the work.
    """

    def __init__(self, inner: Calculator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inner = inner
        self.implemented_properties = inner.implemented_properties
        self.calls = 0

    def start_over(self) -> None:
        """Forget the last geometry, and count from zero."""
        self.reset()  # type: ignore[no-untyped-call]
        self.calls = 0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate ``atoms`` once, and count it."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        check_bounds(self.atoms)  # type: ignore[arg-type]
        self.calls += 1
        self.inner.calculate(self.atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        self.results = dict(self.inner.results)


def check_bounds(atoms: Atoms) -> None:
    """Refuse a geometry that no reference should be asked about.

    Raises
    ------
    LabelError
        When a number is not finite, or the cell has exploded or collapsed.
    """
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise LabelError("the geometry holds numbers that are not finite")
    volume = atoms.cell.volume / len(atoms)
    if volume > MAX_VOLUME_PER_ATOM:
        raise LabelError(f"the cell exploded: {volume:.0f} Å³/atom")
    areas = np.linalg.norm(np.cross(atoms.cell[[1, 2, 0]], atoms.cell[[2, 0, 1]]), axis=1)
    if volume < MIN_VOLUME_PER_ATOM or atoms.cell.volume / areas.max() < MIN_CELL_HEIGHT:
        raise LabelError(f"the cell collapsed: {volume:.2f} Å³/atom")
