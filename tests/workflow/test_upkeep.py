"""``pyrite maintain``: what is lost is found however the clocks go, what is healthy stays."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from driving import wait
from dummy_tasks import SEARCH, Note, firework
from fireworks import FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket

from pyrite.errors import StoreError
from pyrite.firetasks.heartbeat import heartbeat
from pyrite.launchers import upkeep
from pyrite.launchers.bookkeeping import LaunchView, snapshot
from pyrite.launchers.registry import (
    ANY_SEARCH,
    WorkerRecord,
    forget_dead,
    register,
    registered,
)
from pyrite.launchers.upkeep import Upkeep, Watch

SILENT = datetime.now(UTC) - timedelta(days=2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: now[0])
    return now


def running(pinged: datetime | None = SILENT, **others: Any) -> LaunchView:
    return LaunchView(1, others.pop("state", "RUNNING"), "somewhere", pinged, **others)


def test_a_silent_run_is_lost_once_we_have_watched_it(clock: list[float], tmp_path: Path) -> None:
    watch = Watch(tmp_path, SEARCH, lost_after=300, watched_for=75)
    assert not watch(running())
    assert watch.waiting
    clock[0] = 74
    assert not watch(running())
    clock[0] = 75
    assert watch(running())
    assert not watch.waiting


def test_a_heart_that_beats_by_a_wrong_clock_is_a_beating_heart(
    clock: list[float], tmp_path: Path
) -> None:
    watch = Watch(tmp_path, SEARCH, lost_after=300, watched_for=75)
    for beat in range(20):
        clock[0] = 30.0 * beat
        assert not watch(running(SILENT + timedelta(seconds=clock[0])))
    ahead = datetime.now(UTC) + timedelta(days=2)
    assert not watch(running(ahead))
    assert not watch.waiting


@pytest.mark.parametrize(
    ("job", "host", "queue", "lost"),
    [
        ("17", "here", {"16", "17"}, False),
        ("17", "here", {"16"}, True),
        ("17.server", "here", {"17"}, False),
        ("17", "here", None, False),
        ("17", "elsewhere", {"16"}, False),
        (None, "here", None, True),
    ],
)
def test_a_reservation_waits_as_long_as_its_job(
    job: str | None,
    host: str,
    queue: set[str] | None,
    lost: bool,
    clock: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep.socket, "gethostname", lambda: "here")
    jobs = None if queue is None else frozenset(queue)
    watch = Watch(tmp_path, SEARCH, 300, 75, jobs=lambda: jobs)
    reserved = running(state="RESERVED", job=job, host=host)
    assert not watch(reserved)
    clock[0] = 1e6
    assert watch(reserved) is lost


@pytest.mark.parametrize("of", [SEARCH, ANY_SEARCH])
def test_a_worker_of_this_home_is_known_at_once(of: str, tmp_path: Path) -> None:
    mine = WorkerRecord.of_this_process("somewhere", of)
    register(tmp_path, mine)
    assert not Watch(tmp_path, SEARCH, 300, 0)(running())
    register(tmp_path, WorkerRecord(mine.name, of, mine.host, mine.pid, mine.started - 1e6))
    assert Watch(tmp_path, SEARCH, 300, 0)(running(datetime.now(UTC)))
    forget_dead(tmp_path, SEARCH)
    left = [one.search for one in registered(tmp_path, SEARCH)]
    assert left == ([ANY_SEARCH] if of == ANY_SEARCH else []), "other searches may need to know"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("echo '17'; echo ' 18_3'", {"17", "18"}),
        ("echo 'Job id   Name'; echo '---'; echo '17.server  cpu'", {"17"}),
        ("true", set()),
        ("echo 'Unable to contact slurm controller' >&2; false", None),
    ],
)
def test_the_batch_system_is_asked_about_its_jobs(
    answer: str, expected: set[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "squeue"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert upkeep.jobs_in_queue() == expected


def session(launchpad: LaunchPad, home: Path) -> Any:
    return SimpleNamespace(
        launchpad=launchpad,
        home=home,
        store=SimpleNamespace(address="a store"),
        revive=lambda: None,
    )


def test_what_a_dead_worker_left_is_healed_and_told(launchpad: LaunchPad, tmp_path: Path) -> None:
    first = firework(Note, "first", tmp_path)
    second = firework(Note, "second", tmp_path, [first])
    launchpad.add_wf(Workflow([first, second], metadata={"search_id": SEARCH}, name=SEARCH))
    launchpad.checkout_fw(FWorker(name="dead"), str(tmp_path))
    launchpad.launches.update_one(
        {}, {"$set": {"state_history.$[].updated_on": SILENT.isoformat()}}
    )
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    said: list[str] = []
    keeper = Upkeep(session(launchpad, tmp_path), said.append, lost_after=60, watched_for=1)
    keeper._healer = healer_without_patience(keeper)  # type: ignore[method-assign]
    assert keeper.once() == 2
    fw_id = snapshot(launchpad, SEARCH).in_state("READY")[0].fw_id
    assert said == [
        f"{SEARCH}: the workflow was locked by a process that is gone: unlocked",
        f"{SEARCH}: firework {fw_id} (first) was lost: set back",
    ]
    assert keeper.once() == 0
    while launch_rocket(launchpad, FWorker(), strm_lvl="ERROR"):
        pass
    assert {one.state for one in snapshot(launchpad, SEARCH).members} == {"COMPLETED"}


def test_a_launch_of_a_search_that_is_done_is_ended(launchpad: LaunchPad, tmp_path: Path) -> None:
    """Of a worker that died between writing its launch and naming it in the firework."""
    launchpad.add_wf(
        Workflow([firework(Note, "first", tmp_path)], metadata={"search_id": SEARCH}, name=SEARCH)
    )
    launch_rocket(launchpad, FWorker(), strm_lvl="ERROR")
    (launch,) = launchpad.launches.find({}, {"_id": 0})
    silent = [{"state": "RUNNING", "created_on": SILENT, "updated_on": SILENT}]
    stray = {"launch_id": launch["launch_id"] + 1, "state": "RUNNING", "state_history": silent}
    launchpad.launches.insert_one(launch | stray)
    said: list[str] = []
    keeper = Upkeep(session(launchpad, tmp_path), said.append, lost_after=60, watched_for=1)
    keeper._healer = healer_without_patience(keeper)  # type: ignore[method-assign]
    assert keeper.once() == 1
    assert "had a launch that was never ended" in said[0]
    assert launchpad.launches.distinct("state") == ["COMPLETED", "FIZZLED"]
    assert keeper.once() == 0


def healer_without_patience(keeper: Upkeep) -> Any:
    made = Upkeep._healer

    def healer(search: str) -> Any:
        one, watch = made(keeper, search)
        for patience in (one.lock, one.unlaunched, one.orphans, one.strays, one.refresh.patience):
            patience.seconds = 0
        return one, watch

    return healer


def test_a_database_that_is_away_is_waited_for(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Enough(Exception):
        pass

    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            raise Enough

    answers = iter(
        [StoreError("no database answers"), StoreError("no database answers"), (0, False)]
    )

    def round_(_: Upkeep) -> tuple[int, bool]:
        answer = next(answers, (0, False))
        if isinstance(answer, StoreError):
            raise answer
        return answer

    # The module's own clock: other threads sleep too.
    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(upkeep, "time", clock)
    monkeypatch.setattr(Upkeep, "_round", round_)
    said: list[str] = []
    with pytest.raises(Enough):
        Upkeep(session(launchpad, tmp_path), said.append).forever(10)
    assert pauses == [20, 40, 10, 10, 10]
    assert said == [f"no database answers; trying again in {s} s" for s in (20, 40)]


def test_a_task_gives_signs_of_life_whatever_its_worker_does(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    launchpad.add_wf(Workflow([firework(Note, "first", tmp_path)]))
    taken, launch_id = launchpad.checkout_fw(FWorker(), str(tmp_path))

    def pinged() -> datetime:
        return launchpad.get_launch_by_id(launch_id).state_history[-1]["updated_on"]

    others = set(threading.enumerate())
    with heartbeat(launchpad, taken.fw_id, seconds=0.05):
        new = set(threading.enumerate()) - others
        (beating,) = (one for one in new if one.name == "heartbeat")
        before = pinged()
        wait(lambda: pinged() > before)
    beating.join(30)
    assert not beating.is_alive()
