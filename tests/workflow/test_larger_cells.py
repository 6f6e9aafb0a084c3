"""A search that learns on small cells and ranks larger ones, by workers that are killed."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from driving import Command, catch
from fireworks import Workflow

from pyrite.config import SearchConfig
from pyrite.documents import Iteration, Label, Relaxation
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.session import attached
from pyrite.models.search import run_search
from pyrite.results import Result
from pyrite.search_file import load_search
from pyrite.workflows.iteration import iteration_workflow

NAME = "larger"
SEARCH = f"""
name: {NAME}
composition: Na1Cl1
seed: 3
target: {{composition: Na2Cl2, pool: {{size: 5, symmetric_share: 0}}}}
pool: {{size: 8, symmetric_share: 0}}
surrogate: {{members: 2, features: 12, radial_basis: 8, cutoff: 4.5, interactions: 1}}
training: {{updates: 60, warm_updates: 60}}
selection: {{first_labels: 6, labels: 3}}
relaxation: {{max_steps: 20, anchors: 2, batch_size: 4}}
convergence: {{criterion: energy, energy_tolerance: 5, min_iterations: 1, max_uncertain_share: 1}}
validation: {{top_k: 2, max_steps: 10}}
execution: {{labels_per_task: 3, members_per_task: 1, candidates_per_task: 4}}
"""


def test_workers_that_are_killed_rank_larger_cells_as_one_process_does(
    home: Path, tmp_path: Path
) -> None:
    search_file = tmp_path / "larger.yaml"
    search_file.write_text(SEARCH)
    steps: list[tuple[Iteration, list[Relaxation]]] = []

    labels: list[Label] = []

    def observe(iteration: Any, relaxations: Any, known: Any, _members: Any) -> None:
        steps.append((iteration, list(relaxations)))
        labels[:] = known

    alone = run_search(load_search(search_file), tmp_path / "alone", observer=observe)
    seen = [(one.larger_cells, one.ended_by is not None, one.confirmed) for one, _ in steps]
    assert seen == [
        (False, False, None),
        (False, True, True),  # the small cell has converged
        (True, False, None),
        (True, True, False),
    ]

    running = Command("pyrite", "run", search_file, "--home", home, cwd=tmp_path)
    killed: list[int] = []
    # Larger cells join. Tasks are short: where one is missed, one after it will do.
    for tasks, settle in (
        ((f"label {NAME} 1/", f"train {NAME} 1/"), 0),
        ((f"train {NAME} 2/", f"train {NAME} 3/"), 0),
        ((f"relax {NAME} 2/", f"relax {NAME} 3/", f"validate {NAME} "), 0),
    ):
        caught = catch(home, NAME, tasks, running, settle=settle)
        os.kill(caught.pid, signal.SIGKILL)
        killed.append(caught.firework.fw_id)
    running.end()

    with attached(home, create=False) as session:
        store = session.store
        result, iterations = store.result(NAME), store.iterations(NAME)
        relaxations = [store.relaxations(NAME, k) for k in range(4)]
        states = {one.state for one in snapshot(session.launchpad, NAME).members}
        fireworks = list(session.launchpad.fireworks.find({"fw_id": {"$in": killed}}))
        progress, found = store.progress(NAME), store.labels(NAME)
    assert states == {"COMPLETED"}
    assert [len(one["launches"] + one["archived_launches"]) for one in fireworks] == [2, 2, 2]
    assert iterations == [iteration for iteration, _ in steps]
    assert relaxations == [relaxed for _, relaxed in steps]
    assert result is not None
    assert result.ranking == alone.ranking
    # Nothing that was begun twice counts twice.
    assert counted(found) == counted(labels)
    assert spent(result) == spent(alone)
    assert all(name.startswith("t") for one in result.ranking for name in one.candidate_ids)
    assert (progress.candidates, progress.to_relax) == (13, 13)


def counted(labels: Iterable[Label]) -> list[dict[str, Any]]:
    return [one.model_dump(exclude={"provenance": {"seconds"}}) for one in labels]


def spent(result: Result) -> dict[str, Any]:
    return result.ledger.model_dump(include={"reference_calls", "failed_labels"})


@pytest.mark.parametrize(("picks", "first"), [(3, "label"), (0, "train")])
def test_an_iteration_without_labels_begins_with_its_training(picks: int, first: str) -> None:
    config = SearchConfig(composition="NaCl", surrogate={"members": 4})
    workflow = iteration_workflow(config, "x", 2, picks, larger=True)
    roots = [workflow.id_fw[one].name.partition(" ")[0] for one in workflow.root_fw_ids]
    assert set(roots) == {first}
    assert Workflow.from_dict(workflow.to_dict()).root_fw_ids
