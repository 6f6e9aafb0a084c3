"""Whether the networks learn: their held-out errors, and what they said before they were told."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrite.documents import LabelStatus
from pyrite.views import Views

type Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of one network: eV/atom, eV/Å, eV/Å³."""

    iteration: int
    member: int
    labels: int
    energy: float
    force: float
    stress: float


@dataclass(frozen=True)
class Parity:
    """Labels whose geometry the ensemble had judged before it was told: n of them.

    Attributes
    ----------
    iteration
        (n,) of the label; the prediction is of the iteration before
    predicted, reference
        (n,) energies, eV/atom
    spread
        (n,) standard deviation over the members, eV/atom
    predicted_force, reference_force
        (n,) largest force on an atom, eV/Å
    unpredicted
        labels without a prediction of the same geometry, such as those of iteration 0
    """

    iteration: Array
    predicted: Array
    reference: Array
    spread: Array
    predicted_force: Array
    reference_force: Array
    unpredicted: int

    @property
    def errors(self) -> Array:
        """Predicted minus reference energies, eV/atom."""
        return np.asarray(self.predicted - self.reference, dtype=float)

    def covered(self, sigmas: float) -> float:
        """Share of the errors within so many standard deviations of the members."""
        return float((np.abs(self.errors) <= sigmas * self.spread).mean())


def learning_curve(views: Views, search_id: str) -> tuple[Errors, ...]:
    """Errors of every network on its held-out labels, in order of training."""
    found = sorted(views.members(search_id), key=lambda one: (one["iteration"], one["member"]))
    return tuple(
        Errors(
            int(one["iteration"]),
            int(one["member"]),
            int(one["labels"]),
            float(one["energy_mae"]),
            float(one["force_mae"]),
            float(one["stress_mae"]),
        )
        for one in found
    )


def parity(views: Views, search_id: str) -> Parity:
    """Pair labels with the predictions that chose them, where the geometry is the same.

    A label of iteration k is of the geometry that iteration k − 1 relaxed to, unless it was
    displaced by noise or is an end of a reference relaxation.
    """
    wanted: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    unpredicted = 0
    for one in views.labels(search_id, forces=True):
        if one["status"] != LabelStatus.OK:
            continue
        if one["iteration"] == 0:
            unpredicted += 1
        else:
            wanted[int(one["iteration"])][one["candidate_id"]] = one
    rows: list[tuple[float, ...]] = []
    for k, labels in sorted(wanted.items()):
        found = {
            one["candidate_id"]: one for one in views.predictions(search_id, k - 1, list(labels))
        }
        for name, label in sorted(labels.items()):
            said = found.get(name)
            if said is None or said["crystal"] != label["crystal"]:
                unpredicted += 1
            else:
                rows.append((float(k), *_pair(said, label)))
    columns = np.array(rows, dtype=float).reshape(len(rows), 6).T
    iteration, predicted, reference, spread, force, largest = columns
    return Parity(iteration, predicted, reference, spread, force, largest, unpredicted)


def _pair(said: dict[str, Any], label: dict[str, Any]) -> Sequence[float]:
    atoms = len(label["crystal"]["numbers"])
    largest = float(np.linalg.norm(np.asarray(label["forces"], dtype=float), axis=1).max())
    energy = float(label["energy"]) / atoms
    return (said["energy"], energy, said["energy_spread"], said["fmax"], largest)
