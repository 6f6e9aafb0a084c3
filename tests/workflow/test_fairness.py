"""Searches that share workers: who is next."""

from pathlib import Path

import pytest
from dummy_tasks import AddAnother, firework
from fireworks import FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import rapidfire

from pyrite.config import SearchConfig
from pyrite.workflows.iteration import iteration_workflow
from pyrite.workflows.search import search_workflow
from pyrite.workflows.validation import validation_workflow


def add(launchpad: LaunchPad, directory: Path, search: str, priority: int = 0) -> None:
    """A search of two tasks, of which the first adds the second, as iterations do."""
    (directory / search).mkdir()
    first = firework(AddAnother, "first", directory / search, search=search)
    if priority:
        first.spec["_priority"] = priority
    launchpad.add_wf(Workflow([first], metadata={"search_id": search}))


def order(launchpad: LaunchPad, directory: Path) -> list[str]:
    """Whose tasks one worker of FireWorks ran, one after another."""
    rapidfire(launchpad, FWorker(), m_dir=str(directory), nlaunches=0, strm_lvl="ERROR")
    launches = launchpad.launches.find({"state": "COMPLETED"}).sort("launch_id")
    diaries = {
        one["fw_id"]: one["spec"]["diary"]
        for one in launchpad.fireworks.find({}, {"fw_id": 1, "spec.diary": 1})
    }
    return [Path(diaries[one["fw_id"]]).parent.name for one in launches]


def test_searches_of_one_priority_take_turns(launchpad, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for search in ("one", "two", "three"):
        add(launchpad, tmp_path, search)
    assert order(launchpad, tmp_path) == ["one", "two", "three"] * 2


def test_a_higher_priority_goes_first(launchpad, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    add(launchpad, tmp_path, "patient")
    add(launchpad, tmp_path, "urgent", priority=3)
    assert order(launchpad, tmp_path)[0] == "urgent"


@pytest.mark.parametrize("priority", [0, -2, 5])
def test_every_task_of_a_search_has_its_priority(priority: int) -> None:
    execution = {"priority": priority}
    config = SearchConfig(composition="Na2Cl2", name="shared", seed=1, execution=execution)
    workflows = [
        search_workflow(config),
        iteration_workflow(config, "shared", 1, 4, larger=True),
        validation_workflow(config, "shared", 1, 2),
    ]
    specs = [one.spec for workflow in workflows for one in workflow.fws]
    assert {spec.get("_priority", 0) for spec in specs} == {priority}
