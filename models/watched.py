"""A calculator that relaxations cannot run away with."""

import time
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from pyrite.errors import LabelError

MIN_VOLUME_PER_ATOM = 1.5  # Å³; hydrogen in the densest known hydrides has more
MAX_VOLUME_PER_ATOM = 1000.0  # Å³
SAME = 1e-12  # Å
MIN_CELL_HEIGHT = 0.9  # Å; thinner cells have thousands of periodic neighbours


class LeftOff(Exception):
    """There is no time for another step: the calculator has the last geometry and its numbers."""


def never_late(_: float) -> bool:
    """Without a limit of time."""
    return False


class WatchedCalculator(Calculator):
    """A calculator that counts its evaluations and refuses geometries out of bounds.

    Relaxations run away: a collapsing cell gets an unbounded number of neighbours,
    and a NaN travels on silently. Both end here, as a :class:`LabelError`.

    Parameters
    ----------
    inner : Calculator
        The calculator that does the work.

    Attributes
    ----------
    calls : int
        Evaluations since `start_over`.
    left_off : bool
        Whether they ended with `LeftOff`.
    """

    def __init__(self, inner: Calculator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inner = inner
        self.implemented_properties = inner.implemented_properties
        self.start_over()

    def start_over(self, is_late: Callable[[float], bool] = never_late) -> None:
        """Forget the last geometry, and count from zero.

        Parameters
        ----------
        is_late : asked after each step, and told how long the longest took (s); at true, `LeftOff`
        """
        self.reset()  # type: ignore[no-untyped-call]
        self.calls, self.left_off = 0, False
        self._is_late, self._longest = is_late, 0.0

    def check_state(self, atoms: Atoms, tol: float = SAME) -> list[str]:
        """What has changed since the last evaluation; not what fractional coordinates round off."""
        return super().check_state(atoms, tol=tol)  # type: ignore[no-any-return, no-untyped-call]

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
        began = time.monotonic()
        self.inner.calculate(self.atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        self.results = dict(self.inner.results)
        self._longest = max(self._longest, time.monotonic() - began)
        # The first is where it began: to leave there would be no progress.
        if self.calls > 1 and self._is_late(self._longest):
            self.left_off, self._is_late = True, never_late
            raise LeftOff


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
