"""Whether the networks learn: their held-out errors, and what they said before they were told."""

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
class Compared:
    """One quantity as it was predicted and as the reference has it, n values.

    Attributes
    ----------
    iteration
        (n,) of the label; the prediction is of the iteration before
    predicted, reference
        (n,)
    spread
        (n,) standard deviation over the members
    """

    iteration: Array
    predicted: Array
    reference: Array
    spread: Array

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def errors(self) -> Array:
        """Predicted minus reference."""
        return np.asarray(self.predicted - self.reference, dtype=float)

    def covered(self, sigmas: float) -> float:
        """Share of the errors within so many standard deviations of the members."""
        return float((np.abs(self.errors) <= sigmas * self.spread).mean())

    def thinned(self, most: int) -> "Compared":
        """At most so many of the values, spread evenly, for figures."""
        if len(self) <= most:
            return self
        some = np.linspace(0, len(self) - 1, most).astype(int)
        return Compared(
            self.iteration[some], self.predicted[some], self.reference[some], self.spread[some]
        )


@dataclass(frozen=True)
class Parity:
    """Labels of which the networks had said something before they learned them.

    Attributes
    ----------
    energy
        eV/atom, a value for each label
    force
        eV/Å, a value for each component of each atom
    unpredicted
        good labels of which nothing was said, such as those of iteration 0
    """

    energy: Compared
    force: Compared
    unpredicted: int


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
    """Pair labels with what the networks of the iteration before said of their geometry."""
    said = {(int(one["iteration"]), one["candidate_id"]): one for one in views.forecasts(search_id)}
    energies: list[tuple[float, ...]] = []
    forces: list[Array] = []
    unpredicted = 0
    for label in views.labels(search_id, forces=True):
        if label["status"] != LabelStatus.OK:
            continue
        k = int(label["iteration"])
        one = said.get((k, label["candidate_id"]))
        if one is None:
            unpredicted += 1
            continue
        energy = float(label["energy"]) / len(label["crystal"]["numbers"])
        energies.append((k, one["energy"], energy, one["energy_spread"]))
        columns = [
            np.asarray(values, dtype=float).ravel()
            for values in (one["forces"], label["forces"], one["force_spread"])
        ]
        forces.append(np.vstack([np.full(len(columns[0]), float(k)), *columns]))
    return Parity(
        Compared(*np.array(energies, dtype=float).reshape(-1, 4).T),
        Compared(*np.hstack([np.zeros((4, 0)), *forces])),
        unpredicted,
    )
