"""What engines that run a program have in common, by a program that only says so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.builders import two_atoms

from pyrite.documents import Crystal
from pyrite.errors import LabelError
from pyrite.machine import Machine
from pyrite.models.engines import programs
from pyrite.models.engines.programs import Calculation, Moves, ProgramEngine
from pyrite.models.taskdocs import Reading

MOVED = two_atoms(two_atoms().positions + np.array([[0.0, 0.1, 0.0], [0.0, 0.0, 0.0]]))


@dataclass(frozen=True)
class Saying(ProgramEngine):
    """Each run ends as the next of ``ends`` says: an error's text, or None for a success."""

    steps: int = 4
    ends: list[str | None] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    name = "Saying"

    def run(
        self, crystal: Crystal, moves: Moves | None, folder: Path, *, safer: bool
    ) -> Calculation:
        self.runs.append("relaxation" if moves else "single point")
        if self.ends and (reason := self.ends.pop(0)):
            raise LabelError(reason)
        reading = Reading(
            energy=-1.0,
            forces=np.full((2, 3), 0.01),
            stress=np.zeros((3, 3)),
            crystal=MOVED if moves else crystal,
            successful=True,
            ionic_steps=self.steps if moves else 1,
            scf_cycles=7,
        )
        facts = {
            "calls": reading.ionic_steps,
            "scf_cycles": 7,
            "engine": "saying",
            "engine_version": "1",
            "settings": {},
            "details": {"corrections": []},
        }
        return Calculation(reading, facts)

    def spent(self, folder: Path) -> tuple[int, int]:
        return 1, 2


def engine(folder: Path, ends: Sequence[str | None] = (), **others: Any) -> Saying:
    return Saying(folder, Machine(walltime=1000), ends=list(ends), **others)


@pytest.mark.parametrize(
    ("left", "steps", "interrupted"),
    [
        (30.0, 4, False),
        (25.0, 4, True),  # less than three of its evaluations take
        (1.0, 1, False),  # nothing has moved, nothing would be lost
        (None, 4, False),
    ],
)
def test_a_relaxation_that_ends_just_before_the_walltime_keeps_its_geometry(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: float | None,
    steps: int,
    interrupted: bool,
) -> None:
    monkeypatch.setattr(programs, "seconds_left", lambda _: left)
    clock = iter(range(0, 1000, 36))  # each calculation takes 36 s
    monkeypatch.setattr(programs, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    found = engine(tmp_path, steps=steps).relax(two_atoms(), fmax=0.05, max_steps=10)
    assert found.interrupted is interrupted
    assert found.converged is not interrupted, "the next job's single point has the last word"
    assert found.crystal == MOVED
    assert found.calls == (steps if interrupted else steps + 1)


def test_a_first_attempt_that_failed_can_be_looked_at_whatever_came_after(tmp_path: Path) -> None:
    found = engine(tmp_path, ["broken"]).static(two_atoms())
    assert found.details["corrections"] == ["broken: safer settings"]
    assert found.details["folders"] == [str(one) for one in tmp_path.iterdir()]
    assert (found.calls, found.scf_cycles) == (2, 9)
    assert "folders" not in engine(tmp_path).static(two_atoms()).details


def test_a_single_point_that_fails_costs_its_relaxation_too(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"^c; with safer settings: d \(in the single") as failed:
        engine(tmp_path, ["a", None, "c", "d"]).relax(two_atoms(), fmax=0.05, max_steps=10)
    assert failed.value.calls == 1 + 4 + 1 + 1
    assert failed.value.details["scf_cycles"] == 2 + 7 + 2 + 2
    assert failed.value.details["corrections"] == ["a: safer settings"]
    assert sorted(failed.value.details["folders"]) == sorted(map(str, tmp_path.iterdir()))
    assert len(failed.value.details["folders"]) == 3
