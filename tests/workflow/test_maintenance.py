"""Healing: whatever a dying process leaves in FireWorks' collections is put right.

The main test kills a rocket before each single write that it makes to the
database, in turn, and asks that healing and a healthy rocket finish the workflow.
"""

import itertools
from pathlib import Path
from typing import Any

import fireworks.core.rocket
import pytest
from dummy_tasks import (
    SEARCH,
    AddAnother,
    Fail,
    LoseDatabase,
    LoseStore,
    Note,
    RefuseLabels,
    firework,
    words,
)
from fireworks import FiretaskBase, FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket
from mortality import Killed, empty, kill_before_write
from pymongo.errors import AutoReconnect

from pyrite.launchers import maintenance
from pyrite.launchers.bookkeeping import LaunchView, snapshot
from pyrite.launchers.maintenance import Healer, Patience, rerun_failed


@pytest.fixture(autouse=True)
def rockets_of_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    # The heartbeat's thread would outlive a rocket that only plays dead.
    monkeypatch.setattr(fireworks.core.rocket, "start_ping_launch", lambda *_: None)


def worker(name: str) -> FWorker:
    return FWorker(name=name, query={"spec.search_id": SEARCH})


def healer(launchpad: LaunchPad, dead: str = "dead") -> Healer:
    return Healer(
        launchpad,
        SEARCH,
        lambda launch: launch.worker == dead,
        lock=Patience(0),
        unlaunched=Patience(0),
        orphans=Patience(0),
        strays=Patience(0),
        refresh=maintenance.Refresher(patience=0),
        outages=maintenance.OutageHealer(patience=0),
    )


def finish(launchpad: LaunchPad) -> None:
    """Heal and run until nothing changes any more."""
    doctor = healer(launchpad)
    for _ in range(4):
        doctor.heal()
    while launch_rocket(launchpad, worker("healthy"), strm_lvl="ERROR"):
        doctor.heal()


def states(launchpad: LaunchPad) -> dict[str, str]:
    return {
        firework.name: firework.state for firework in snapshot(launchpad, SEARCH).fireworks.values()
    }


def looping_workflow(directory: Path) -> Workflow:
    first = firework(AddAnother, "first", directory)
    second = firework(Note, "second", directory, [first])
    return Workflow([first, second], metadata={"search_id": SEARCH}, name=SEARCH)


def test_a_rocket_may_die_before_any_of_its_writes(launchpad: LaunchPad, tmp_path: Path) -> None:
    for writes in itertools.count():
        empty(launchpad)
        directory = tmp_path / str(writes)
        directory.mkdir()
        launchpad.add_wf(looping_workflow(directory))
        survived = True
        for lives in kill_before_write(launchpad, writes):
            try:
                for _ in range(2):  # what the third does, the second did
                    launch_rocket(launchpad, worker("dead"), strm_lvl="ERROR")
            except Killed:
                survived = False
            spent = writes - lives[0]
        finish(launchpad)

        found = snapshot(launchpad, SEARCH)
        context = f"killed before write {writes}"
        assert states(launchpad) == dict.fromkeys(("first", "second", "added"), "COMPLETED"), (
            context
        )
        assert len(found.fireworks) == len(found.members) == 3, context
        assert [one["state"] for one in found.workflows] == ["COMPLETED"], context
        assert not found.locked, context
        assert {"COMPLETED", "FIZZLED"} >= set(launchpad.launches.distinct("state")), context
        for name in ("first", "second", "added"):
            runs = words(directory, name).count("end")
            assert runs in {1, 2}, context
        if survived:
            assert spent > 12, "the rockets' writes were not counted"
            break


def test_adding_a_workflow_may_die_before_any_of_its_writes(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    for writes in itertools.count():
        empty(launchpad)
        survived = True
        for _ in kill_before_write(launchpad, writes):
            try:
                launchpad.add_wf(looping_workflow(tmp_path))
            except Killed:
                survived = False
        healer(launchpad).heal()
        found = snapshot(launchpad, SEARCH)
        assert len(found.members) == len(found.fireworks) == (2 if survived else 0)
        if survived:
            assert writes > 1
            break


def test_the_healthy_are_left_alone(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(looping_workflow(tmp_path))
    launchpad.checkout_fw(worker("healthy"), str(tmp_path))
    doctor = healer(launchpad)
    for _ in range(3):
        doctor.heal()
    seen = snapshot(launchpad, SEARCH)
    assert states(launchpad) == {"first": "RUNNING", "second": "WAITING"}
    (first,) = seen.in_state("RUNNING")
    assert first.launch is not None
    assert first.launch.worker == "healthy"


def test_a_queued_reservation_is_left_alone(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(looping_workflow(tmp_path))
    launchpad.reserve_fw(worker("cluster"), str(tmp_path))
    doctor = healer(launchpad)
    for _ in range(3):
        doctor.heal()
    assert states(launchpad)["first"] == "RESERVED"


def test_another_searchs_fireworks_are_left_alone(launchpad: LaunchPad, tmp_path: Path) -> None:
    other = firework(Note, "other", tmp_path, search="other")
    launchpad.add_wf(Workflow([other], metadata={"search_id": "other"}))
    dead = FWorker(name="dead")
    launchpad.checkout_fw(dead, str(tmp_path))
    doctor = healer(launchpad)
    for _ in range(3):
        doctor.heal()
    (seen,) = snapshot(launchpad, "other").members
    assert seen.state == "RUNNING"


def test_a_lock_that_moves_is_not_broken(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(looping_workflow(tmp_path))
    doctor = healer(launchpad)
    doctor.lock = Patience(60)
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    doctor.heal()
    assert snapshot(launchpad, SEARCH).locked
    doctor.lock = Patience(0)
    doctor.heal()
    assert not snapshot(launchpad, SEARCH).locked


def test_defused_fireworks_stay_defused(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(looping_workflow(tmp_path))
    (first,) = snapshot(launchpad, SEARCH).in_state("READY")
    launchpad.checkout_fw(worker("dead"), str(tmp_path))
    launchpad.defuse_fw(first.fw_id)
    doctor = healer(launchpad)
    for _ in range(3):
        doctor.heal()
    assert states(launchpad)["first"] == "DEFUSED"


def test_a_firework_that_fizzled_without_a_failure_is_refreshed(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    launchpad.add_wf(looping_workflow(tmp_path))
    launch_rocket(launchpad, worker("healthy"), strm_lvl="ERROR")
    launchpad.fireworks.update_one({"name": "first"}, {"$set": {"state": "FIZZLED"}})
    finish(launchpad)
    assert states(launchpad)["first"] == "COMPLETED"


def test_failures_stay_until_they_are_asked_to_run_again(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    first = firework(Fail, "first", tmp_path)
    second = firework(Note, "second", tmp_path, [first])
    launchpad.add_wf(Workflow([first, second], metadata={"search_id": SEARCH}))
    finish(launchpad)
    assert states(launchpad) == {"first": "FIZZLED", "second": "WAITING"}
    (tmp_path / "gate").touch()
    assert len(rerun_failed(launchpad, SEARCH)) == 1
    finish(launchpad)
    assert states(launchpad) == {"first": "COMPLETED", "second": "COMPLETED"}


@pytest.mark.parametrize("task", [LoseDatabase, LoseStore])
def test_what_failed_while_the_database_was_away_runs_again(
    launchpad: LaunchPad, tmp_path: Path, task: type[FiretaskBase]
) -> None:
    launchpad.add_wf(Workflow([firework(task, "first", tmp_path)], metadata={"search_id": SEARCH}))
    doctor = healer(launchpad)
    for _ in range(maintenance.MAX_OUTAGES):
        launch_rocket(launchpad, worker("healthy"), strm_lvl="ERROR")
        assert states(launchpad) == {"first": "FIZZLED"}
        doctor.heal()
        assert states(launchpad) == {"first": "READY"}
    launch_rocket(launchpad, worker("healthy"), strm_lvl="ERROR")
    doctor.heal()
    assert states(launchpad) == {"first": "FIZZLED"}, "a database that never answers is a failure"


def test_what_failed_to_end_while_the_database_was_away_runs_again(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launchpad.add_wf(looping_workflow(tmp_path))
    complete, calls = launchpad.complete_launch, []

    def away_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise AutoReconnect("connection closed")
        return complete(*arguments)

    monkeypatch.setattr(launchpad, "complete_launch", away_once)
    launch_rocket(launchpad, worker("healthy"), strm_lvl="ERROR")
    assert states(launchpad)["first"] == "FIZZLED"
    finish(launchpad)
    assert set(states(launchpad).values()) == {"COMPLETED"}


def test_what_refused_failed_labels_runs_again_after_new_labels(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    first = firework(Note, "first", tmp_path)
    parts = [firework(RefuseLabels, name, tmp_path, [first]) for name in ("one", "two")]
    launchpad.add_wf(Workflow([first, *parts], metadata={"search_id": SEARCH}))
    finish(launchpad)
    assert states(launchpad) == {"first": "COMPLETED", "one": "FIZZLED", "two": "FIZZLED"}
    assert len(rerun_failed(launchpad, SEARCH)) == 1
    finish(launchpad)
    assert set(states(launchpad).values()) == {"COMPLETED"}
    assert words(tmp_path, "first").count("end") == 2


def test_patience_counts_from_the_last_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(maintenance.time, "monotonic", lambda: now[0])
    patience: Patience[str] = Patience(5)
    assert patience.lasting({"a", "b"}) == set()
    now[0] = 4.0
    assert patience.lasting({"a"}) == set()
    now[0] = 6.0
    assert patience.lasting({"a", "b"}) == {"a"}


def test_silence_of_a_launch() -> None:
    assert LaunchView(1, "RUNNING", "w", None).silent_for() == float("inf")


def test_what_another_workflow_lists_is_not_watched_for_ever(launchpad, tmp_path) -> None:
    launchpad.add_wf(Workflow([firework(Note, "first", tmp_path)], metadata={"search_id": SEARCH}))
    launchpad.add_wf(Workflow([firework(Note, "again", tmp_path)]))
    healer = Healer(launchpad, SEARCH, lambda launch: False)
    healer.heal()
    assert not healer.waiting
    assert launchpad.fireworks.count_documents({"spec.search_id": SEARCH}) == 2
