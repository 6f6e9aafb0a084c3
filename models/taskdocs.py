"""atomate2's task documents as plain numbers, or the reason why they are none.

Documents give stress in kbar with compression positive, and atoms in an order of the
engine's own. They are read by shape, not by class: VASP, ASE and force-field documents
differ in type and agree in their ``output``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrite.documents import Crystal
from pyrite.errors import LabelError

KBAR = -0.1 / 160.21766208  # eV/Å³ with tension positive
SAME_PLACE = 1e-3  # Å; a single point must not move atoms

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """What a document says, in the order of the crystal that was asked about.

    ``energy`` in eV for the whole cell, ``forces`` (N, 3) in eV/Å, ``stress`` (3, 3) in
    eV/Å³ with tension positive; ``successful`` is what the engine says of itself.
    """

    energy: float
    forces: Floats
    stress: Floats
    crystal: Crystal
    successful: bool
    ionic_steps: int
    scf_cycles: int | None


def read(document: Any, asked: Crystal, *, moves: bool) -> Reading:
    """Turn a task document into numbers.

    Parameters
    ----------
    document
        What a Maker's job returned.
    asked : Crystal
        The crystal that the Maker was given.
    moves : bool
        Whether atoms and cell may differ from those of ``asked``.

    Raises
    ------
    LabelError
        When something is missing, not finite, of the wrong shape, or about another crystal.
    """
    output = getattr(document, "output", None)
    if output is None:
        raise LabelError("the reference returned no output")
    final = getattr(document, "structure", None) or getattr(output, "structure", None)
    if final is None:
        raise LabelError("the reference returned no structure")
    found = Crystal.from_structure(final)
    order = _order(found.numbers, asked.numbers)
    crystal = Crystal(
        numbers=asked.numbers,
        positions=tuple(found.positions[i] for i in order),
        cell=found.cell,
    )
    if not moves:
        _check_unmoved(crystal, asked)
    return Reading(
        energy=float(finite(_energy(document), "energy", ())),
        forces=finite(output.forces, "forces", (len(order), 3))[order],
        stress=finite(output.stress, "stress", (3, 3)) * KBAR,
        crystal=crystal,
        successful=_successful(document),
        ionic_steps=_ionic_steps(document),
        scf_cycles=_scf_cycles(document),
    )


def _order(found: tuple[int, ...], asked: tuple[int, ...]) -> list[int]:
    """Where each atom that was asked about is found: engines sort by element, stably."""
    if sorted(found) != sorted(asked):
        raise LabelError(
            f"the reference returned other atoms ({len(found)}) than it was given ({len(asked)})"
        )
    if found == asked:
        return list(range(len(asked)))
    places = {number: [i for i, n in enumerate(found) if n == number] for number in set(asked)}
    return [places[number].pop(0) for number in asked]


def _check_unmoved(crystal: Crystal, asked: Crystal) -> None:
    same_cell = np.allclose(crystal.cell, asked.cell, atol=SAME_PLACE)
    shift = np.linalg.solve(
        np.array(asked.cell).T, (np.array(crystal.positions) - np.array(asked.positions)).T
    ).T
    away = (shift - np.round(shift)) @ np.array(asked.cell)
    if not (same_cell and np.linalg.norm(away, axis=1).max() < SAME_PLACE):
        raise LabelError("the reference calculated another geometry than it was given")


def finite(value: Any, name: str, shape: tuple[int, ...]) -> Floats:
    """``value`` as an array; raises LabelError when it is missing, misshapen or not finite."""
    if value is None:
        raise LabelError(f"the reference returned no {name}")
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        raise LabelError(f"the reference returned {name} of shape {array.shape}, not {shape}")
    if not np.isfinite(array).all():
        raise LabelError(f"the reference returned {name} that is not finite")
    return array


def _steps(document: Any) -> list[Any]:
    """VASP's ionic steps of all calculations, the last one last; empty for other engines."""
    steps: list[Any] = []
    for calculation in reversed(getattr(document, "calcs_reversed", None) or ()):
        steps.extend(getattr(calculation.output, "ionic_steps", None) or ())
    return steps


def _energy(document: Any) -> float | None:
    """The energy whose gradient the forces are: VASP's ``output.energy`` is extrapolated."""
    steps = _steps(document)
    free = getattr(steps[-1], "e_fr_energy", None) if steps else None
    energy: float | None = document.output.energy if free is None else free
    return energy


def _successful(document: Any) -> bool:
    state = getattr(document, "state", None)
    return state is None or str(getattr(state, "value", state)).lower() == "successful"


def _ionic_steps(document: Any) -> int:
    return len(_steps(document)) or int(getattr(document.output, "n_steps", None) or 1)


def _scf_cycles(document: Any) -> int | None:
    counts = [getattr(step, "num_electronic_steps", None) for step in _steps(document)]
    counts.append(getattr(document.output, "scf_cycles", None))
    known = [int(count) for count in counts if count is not None]
    return sum(known) if known else None
