"""CrySPY as a baseline: what is counted, when it ends, and that it can be killed anywhere."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import cryspy_program, cryspy_search
from benchmarks.cryspy_search import Search, cryspy_row
from benchmarks.random_search import FMAX, MAX_STEPS
from pyrite.documents import Crystal
from pyrite.errors import LabelError
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.models.reference import RelaxResult, StaticResult

RS = Search("Na2Cl2", "RS", "fake", 1)
EA = RS._replace(algorithm="EA")
CALLS = 3
UNREACHABLE = -10.0  # eV/atom
N_POP = 6
POPULATION = {"n_pop": N_POP, "n_crsov": 3, "n_perm": 1, "n_strain": 1, "n_rand": 1, "n_fittest": 3}


@dataclass
class Fake:
    """Leaves crystals as they are, with energies that tell them apart, eV."""

    success_at: int | None = None
    kill_at: int | None = None
    fail_at: int | None = None
    absurd_at: int | None = None
    below: float = 1e8
    starts: list[Crystal] = field(default_factory=list)

    def static(self, crystal: Crystal) -> StaticResult:
        """Not asked for."""
        raise NotImplementedError

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """Nothing moves."""
        assert (fmax, max_steps) == (FMAX, MAX_STEPS)
        number = len(self.starts)
        if number == self.kill_at:
            raise KeyboardInterrupt
        self.starts.append(crystal)
        if number == self.fail_at:
            raise LabelError("the reference failed", calls=CALLS)
        energy = crystal.volume_per_atom
        if number == self.success_at:
            energy = UNREACHABLE
        if number == self.absurd_at:
            energy = UNREACHABLE - self.below
        return RelaxResult(
            energy=len(crystal.numbers) * energy,
            forces=np.zeros((len(crystal.numbers), 3)),
            stress=np.zeros((3, 3)),
            calls=CALLS,
            seconds=0.1,
            engine="fake",
            engine_version="1",
            settings={},
            crystal=crystal,
            converged=True,
        )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A search in the test's own folder; every crystal is the one that is looked for."""
    monkeypatch.setattr(cryspy_program, "EA", cryspy_program.EA | POPULATION)

    class Matcher:
        def fit(self, *_: object) -> bool:
            return True

    monkeypatch.setattr("benchmarks.random_search.StructureMatcher", Matcher)

    def row(search: Search, budget: int, engine: Any, folder: str = "work") -> dict[str, Any]:
        ground = Crystal(
            numbers=(11,), positions=((0, 0, 0),), cell=((3, 0, 0), (0, 3, 0), (0, 0, 3))
        )
        made = cryspy_row(search, budget, tmp_path / folder, engine, ground, UNREACHABLE)
        return {name: made[name] for name in made if name != "seconds"}

    return row


@pytest.mark.parametrize("search", [RS, EA], ids=["rs", "ea"])
def test_a_search_ends_with_its_success(search: Search, run: Callable[..., Any]) -> None:
    engine = Fake(success_at=2)
    row = run(search, 10, engine)
    assert (row["ended_by"], row["found"], row["relaxations"]) == ("found", True, 3)
    assert row["reference_calls_first_found"] == row["reference_calls"] == 3 * CALLS
    assert row["relaxed"]["success"] == [False, False, True]
    assert run(search, 10, Fake()) == row
    assert len(engine.starts) == 3


def test_a_search_ends_with_its_budget_and_goes_on_with_a_larger_one(
    run: Callable[..., Any],
) -> None:
    first, more, whole, less = (Fake() for _ in range(4))
    row = run(RS, 3, first)
    assert (row["ended_by"], row["found"], row["relaxations"]) == ("budget", False, 3)
    assert row["reference_calls_first_found"] is None
    assert run(RS, 5, more) == run(RS, 5, whole, "another")
    assert whole.starts == first.starts + more.starts
    assert run(RS, 3, less) == row
    assert not less.starts


def test_the_next_generation_is_bred(run: Callable[..., Any]) -> None:
    engine, random = Fake(), Fake()
    row = run(EA, N_POP + 3, engine)
    assert (row["relaxations"], row["failed"]) == (N_POP + 3, 0)
    run(RS, N_POP + 3, random, "another")
    assert engine.starts[:N_POP] == random.starts[:N_POP]
    assert all(start not in random.starts for start in engine.starts[N_POP:])


def test_the_two_algorithms_share_the_crystals_they_share(run: Callable[..., Any]) -> None:
    first, second = Fake(), Fake()
    random = run(RS, N_POP, first)
    bred = run(EA, N_POP + 1, second)
    assert len(second.starts) == 1
    assert bred["reference_calls"] == random["reference_calls"] + CALLS


def test_failures_count_what_they_have_cost(run: Callable[..., Any]) -> None:
    row = run(RS, 3, Fake(fail_at=1))
    assert (row["failed"], row["reference_calls"], row["found"]) == (1, 3 * CALLS, False)
    assert row["relaxed"]["energy_above_ground_ev_per_atom"][1] is None


@pytest.mark.parametrize("below", [1e8, 0.11])
def test_crystals_that_collapsed_are_not_bred_from(run: Callable[..., Any], below: float) -> None:
    collapsed, failed = Fake(absurd_at=1, below=below), Fake(fail_at=1)
    row, other = run(EA, N_POP + 3, collapsed), run(EA, N_POP + 3, failed, "another")
    assert row["failed"] == 1
    assert row["relaxed"]["energy_above_ground_ev_per_atom"][1] is None
    assert collapsed.starts == failed.starts
    assert row == other


@pytest.mark.parametrize("search", [RS, EA], ids=["rs", "ea"])
def test_a_killed_search_goes_on_to_the_same_row(search: Search, run: Callable[..., Any]) -> None:
    whole = Fake()
    row = run(search, 8, whole, "whole")
    starts: list[Crystal] = []
    for at in itertools.chain([1, 3], itertools.repeat(9)):
        engine = Fake(kill_at=at)
        try:
            killed = run(search, 8, engine)
        except KeyboardInterrupt:
            starts += engine.starts
        else:
            break
    assert killed == row
    assert starts + engine.starts == whole.starts


@pytest.mark.parametrize("written", [0, 3, 7])
def test_killed_while_cryspy_writes_its_state(
    written: int, tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies after some of the steps, with CrySPY's lock and half of a file left behind."""
    row = run(EA, 8, Fake(), "whole")
    step, steps = cryspy_program.step, itertools.count()

    def dying() -> bool:
        more = step()
        if next(steps) == written:
            (Path("data") / "pkl_data" / "init_struc_data.pkl").write_bytes(b"half")
            raise KeyboardInterrupt
        return more

    first, second = Fake(), Fake()
    with monkeypatch.context() as patch:
        patch.setattr(cryspy_program, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            run(EA, 8, first)
    assert (EA.folder(tmp_path / "work") / "cryspy" / "lock_cryspy").exists()
    assert run(EA, 8, second) == row
    assert len(first.starts) + len(second.starts) == 8


def test_a_smaller_budget_than_crystals_drawn_is_no_error(run: Callable[..., Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(RS, 9, Fake(kill_at=1))
    assert run(RS, 4, Fake())["relaxations"] == 4


def test_other_crystals_under_the_same_numbers_are_refused(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    run(RS, 2, Fake())
    kept = RS.folder(tmp_path / "work") / "relaxations" / "00001.json"
    row = json.loads(kept.read_text())
    row["start"]["positions"][0][0] += 0.1
    kept.write_text(json.dumps(row))
    (RS.folder(tmp_path / "work") / "cryspy" / "lock_cryspy").touch()
    with pytest.raises(RuntimeError, match="structure 1 is not the one"):
        run(RS, 3, Fake())


def test_a_population_that_cannot_breed_ends_the_search(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cryspy.EA.natural_selection.StructureMatcher.fit", lambda *_, **__: True)
    row = run(EA, 30, Fake())
    assert (row["ended_by"], row["found"], row["relaxations"]) == ("cryspy", False, N_POP)


def test_errors_of_cryspy_are_errors(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cryspy_program.EA, "n_pop", 19)
    with pytest.raises(RuntimeError, match="its log says which"):
        run(EA, 2, Fake())


def test_relaxations_as_its_authors_do_are_asked_of_the_maker() -> None:
    @dataclass(frozen=True)
    class Maker:
        steps: int
        fix_symmetry: bool = False

    makers = Makers("e", "1", {}, None, lambda _, steps: Maker(steps), lambda *_: (None, 1))
    theirs = cryspy_search.as_its_authors_do(MakerEngine(makers, Path()))
    assert isinstance(theirs, MakerEngine)
    assert theirs.makers.relax(0.05, 300) == Maker(300, True)
    assert makers.relax(0.05, 300) == Maker(300)
    with pytest.raises(TypeError):
        cryspy_search.as_its_authors_do(Fake())
