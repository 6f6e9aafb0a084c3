"""A small search and a stand-in reference for tests of the steps."""

from dataclasses import replace
from typing import Any

import numpy as np

from pyrite.config import SearchConfig
from pyrite.documents import Choice, Crystal, Pick
from pyrite.errors import LabelError
from pyrite.models.reference import RelaxResult, StaticResult

# Larger cells that a search of Na2Cl2 may look at as well.
LARGER = {"composition": "Na4Cl4", "pool": {"size": 3}}


def settings(**sections: Any) -> SearchConfig:
    return SearchConfig.model_validate({"composition": "Na2Cl2", "name": "test", **sections})


class Engine:
    """A reference that knows one crystal's energy and fails for every other."""

    def __init__(self, *good: Crystal) -> None:
        self.good = good

    def static(self, crystal: Crystal) -> StaticResult:
        return StaticResult(**self._answer(crystal))

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        return RelaxResult(**self._answer(crystal), crystal=crystal, converged=max_steps > 1)

    def _answer(self, crystal: Crystal) -> dict[str, Any]:
        if crystal not in self.good:
            raise LabelError("no SCF after 60 cycles", calls=7)
        atoms = len(crystal.numbers)
        return {
            "energy": -3.0 * atoms,
            "forces": np.full((atoms, 3), 0.5),
            "stress": np.eye(3),
            "calls": 3,
            "seconds": 0.25,
            "engine": "stand-in",
            "engine_version": "1",
            "settings": {"precision": "high"},
        }


class Interrupted(Engine):
    """A reference whose first relaxation ends early, elsewhere."""

    def __init__(self, start: Crystal, halfway: Crystal) -> None:
        super().__init__(start, halfway)
        self.asked: list[tuple[Crystal, int]] = []

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        self.asked.append((crystal, max_steps))
        found = super().relax(crystal, fmax, max_steps)
        if len(self.asked) > 1:
            return found
        return replace(found, crystal=self.good[1], converged=False, interrupted=True)


def pick(candidate_id: str, crystal: Crystal) -> Pick:
    return Pick(candidate_id=candidate_id, choice=Choice.SCORE, crystal=crystal)
