"""A whole search in one process, with a pair potential as its reference."""

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from fireworks import Workflow
from tests.unit.builders import random_crystal

from pyrite.config import SearchConfig
from pyrite.documents import Choice, Crystal, Iteration, Label, Relaxation, Role
from pyrite.errors import ConfigError, LabelError, TooManyFailedLabels
from pyrite.firetasks.generate_pool import GeneratePool
from pyrite.launchers.runner import preflight
from pyrite.models.reference import RelaxResult, StaticResult
from pyrite.models.search import run_search
from pyrite.results import Result
from pyrite.workflows.search import search_workflow

TINY: dict[str, Any] = {
    "composition": "Na2Cl2",
    "name": "tiny",
    "pool": {"size": 6, "symmetric_share": 0},
    "surrogate": {
        "members": 2,
        "features": 8,
        "radial_basis": 6,
        "cutoff": 4.0,
        "interactions": 1,
    },
    "training": {"updates": 20, "warm_updates": 10},
    "relaxation": {"max_steps": 5, "anchors": 2},
    "selection": {"first_labels": 4, "labels": 2},
    "convergence": {"max_iterations": 2, "min_iterations": 2},
    "validation": {"top_k": 2, "max_steps": 10},
    "execution": {"candidates_per_task": 4},
}


class Morse:
    """A reference that costs a millisecond; ``broken`` picks the crystals that it refuses."""

    def __init__(self, broken: Any = lambda crystal: False) -> None:
        self.broken = broken

    def static(self, crystal: Crystal) -> StaticResult:
        return StaticResult(**self._answer(crystal))

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        return RelaxResult(**self._answer(crystal), crystal=crystal, converged=False)

    def _answer(self, crystal: Crystal) -> dict[str, Any]:
        from ase.calculators.morse import MorsePotential

        if self.broken(crystal):
            raise LabelError("energy is not finite")
        atoms = crystal.to_atoms()
        atoms.calc = MorsePotential(epsilon=0.3, r0=2.8, rho0=4.0, rcut1=3.0, rcut2=4.0)
        return {
            "energy": float(atoms.get_potential_energy()),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(voigt=False),
            "calls": 1,
            "seconds": 0.0,
            "engine": "morse",
            "engine_version": "1",
            "settings": {},
        }


def tiny(**sections: Any) -> SearchConfig:
    return SearchConfig.model_validate(TINY | sections)


class Diary:
    """Keeps what an observer sees."""

    def __init__(self) -> None:
        self.iterations: list[Iteration] = []
        self.relaxations: list[list[Relaxation]] = []
        self.labels: list[Label] = []

    def __call__(self, iteration: Any, relaxations: Any, labels: Any, members: Any) -> None:
        self.iterations.append(iteration)
        self.relaxations.append(list(relaxations))
        self.labels = list(labels)


def ranking(result: Result) -> list[tuple[tuple[str, ...], float, Crystal]]:
    return [(one.candidate_ids, one.energy_ev_per_atom, one.crystal) for one in result.ranking]


def test_a_search_repeats_itself_however_many_threads_it_finds(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    used = set()
    results = []

    def note_threads(_crystal: Crystal) -> bool:
        used.add(torch.get_num_threads())
        return False

    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            torch.manual_seed(count)
            results.append(run_search(tiny(), tmp_path, engine=Morse(note_threads)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert used == {tiny().execution.torch_threads}
    assert ranking(results[0]) == ranking(results[1])
    assert results[0].iterations == 2
    assert results[0].ledger.reference_calls == 4 + 2 + len(results[0].ranking)


def test_how_labels_are_shared_out_changes_nothing(tmp_path: Path) -> None:
    """Parts of the ensemble and shards of the pool do: what is computed together shapes the
    last digits."""
    one = run_search(tiny(), tmp_path, engine=Morse())
    execution = {"labels_per_task": 1, "checkpoint_seconds": 0.0, "candidates_per_task": 4}
    other = run_search(tiny(execution=execution), tmp_path, engine=Morse())
    assert ranking(one) == ranking(other)
    assert ranking(one) != ranking(run_search(tiny(seed=2), tmp_path, engine=Morse()))


def test_the_papers_recipe_leads_to_a_ranking(tmp_path: Path) -> None:
    seen = Diary()
    small = {"features": 8, "radial_basis": 6, "cutoff": 4.0, "members": 2}
    config = SearchConfig.model_validate(
        TINY
        | {"recipe": "paper", "pool": {"size": 8}, "surrogate": small}
        | {"training": {"updates": 20}, "relaxation": {"max_steps": 5}}
        | {"selection": {"first_labels": 5, "labels": 3}, "convergence": {"max_iterations": 3}}
    )
    result = run_search(config, tmp_path, engine=Morse(), observer=seen)
    assert result.ranking
    assert result.iterations >= 2
    chosen = {pick.choice for one in seen.iterations[1:] for pick in one.picks}
    assert chosen == {Choice.SCORE}, "neither uncertain ones, nor low ones, nor any at random"
    for relaxations in seen.relaxations:
        assert {one.candidate_id for one in relaxations} == {f"c{k:05d}" for k in range(8)}
        assert all(one.ahead is None for one in relaxations), "no anchors, no look ahead"
    rests = {one.rest.crystal for relaxations in seen.relaxations for one in relaxations}
    assert not rests & {label.crystal for label in seen.labels if label.iteration}, "noise"


def test_learn_small_and_find_large(tmp_path: Path) -> None:
    seen = Diary()
    small = random_crystal(0)
    large = Crystal.from_atoms(small.to_atoms().repeat((2, 1, 1)))
    config = tiny(target={"composition": "Na4Cl4", "pool": {"size": 3, "symmetric_share": 0}})

    result = run_search(
        config,
        tmp_path,
        start_structures=[small],
        target_structures=[large],
        engine=Morse(),
        observer=seen,
    )

    assert {len(label.crystal.numbers) for label in seen.labels} == {4}, "targets are not labelled"
    for relaxations in seen.relaxations:  # two iterations, which are the last ones
        names = {one.candidate_id for one in relaxations}
        assert {f"c{k:05d}" for k in range(7)} <= names, "with the structure from a file"
        assert {f"t{k:05d}" for k in range(4)} <= names, "with the structure from a file"
    for iteration in seen.iterations:
        assert all(one.candidate_id.startswith("t") for one in iteration.top)
        assert not any(one.candidate_id.startswith("t") for one in iteration.next_picks)
    assert result.ranking
    assert all(len(one.crystal.numbers) == 8 for one in result.ranking)
    assert all(name.startswith("t") for one in result.ranking for name in one.candidate_ids)


@pytest.mark.parametrize(
    ("join", "with_larger"),
    [("first", [True] * 4), ("converged", [False, False, True, True])],
)
def test_larger_cells_wait_for_the_small_ones(
    tmp_path: Path, join: str, with_larger: list[bool]
) -> None:
    seen = Diary()
    pool = {"size": 3, "symmetric_share": 0}
    config = tiny(
        target={"composition": "Na4Cl4", "pool": pool, "join": join},
        convergence={"max_iterations": 4, "min_iterations": 4},
    )
    result = run_search(config, tmp_path, engine=Morse(), observer=seen)
    assert [one.larger_cells for one in seen.iterations] == with_larger
    for iteration, relaxations in zip(seen.iterations, seen.relaxations, strict=True):
        names = {one.candidate_id for one in relaxations if one.role is Role.TARGET}
        assert names == ({"t00000", "t00001", "t00002"} if iteration.larger_cells else set())
        assert {one.candidate_id.startswith("t") for one in iteration.top} == {
            iteration.larger_cells
        }
    assert all(name.startswith("t") for one in result.ranking for name in one.candidate_ids)


def test_files_of_both_pools_reach_the_first_task(tmp_path: Path) -> None:
    small = random_crystal(0)
    for name, atoms in (
        ("small.extxyz", small.to_atoms()),
        ("large.extxyz", small.to_atoms().repeat((2, 1, 1))),
    ):
        atoms.write(tmp_path / name)
    section = {"size": 2, "symmetric_share": 0}
    config = tiny(
        pool={**section, "files": [tmp_path / "small.extxyz"]},
        target={
            "composition": "Na4Cl4",
            "pool": {**section, "files": [tmp_path / "large.extxyz"] * 2},
        },
    )
    workflow = Workflow.from_dict(search_workflow(config, *preflight(config)).to_dict())
    (task,) = (task for one in workflow.fws for task in one.tasks if isinstance(task, GeneratePool))
    store = MagicMock()
    store.iterations.return_value = []
    task.store = store
    task.work()
    (candidates,) = store.put_candidates.call_args.args
    assert [(one.candidate_id, one.origin, len(one.crystal.numbers)) for one in candidates] == [
        ("c00000", "p1", 4),
        ("c00001", "p1", 4),
        ("c00002", "file", 4),
        ("t00000", "p1", 8),
        ("t00001", "p1", 8),
        ("t00002", "file", 8),
        ("t00003", "file", 8),
    ]
    swapped = tiny(target={"composition": "Na4Cl4", "pool": config.pool})
    with pytest.raises(ConfigError, match=r"^a structure of target\.pool\.files holds Na2Cl2 but"):
        preflight(swapped)


def test_a_reference_that_keeps_failing_ends_the_search(tmp_path: Path) -> None:
    with pytest.raises(TooManyFailedLabels, match=r"4 of 4 .* energy is not finite"):
        run_search(tiny(), tmp_path, engine=Morse(broken=lambda crystal: True))


def test_a_reference_that_fails_now_and_then_does_not(tmp_path: Path) -> None:
    seen = Diary()
    failures = []

    def now_and_then(crystal: Crystal) -> bool:
        failures.append(len(failures) == 1)
        return failures[-1]

    config = tiny(reference={"required_success": 0.5})
    result = run_search(config, tmp_path, engine=Morse(now_and_then), observer=seen)
    assert result.ledger.failed_labels == 1
    assert [label.status for label in seen.labels].count("failed") == 1
