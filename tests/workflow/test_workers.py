"""Worker processes and their supervisor, with real processes, signals and the embedded store."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dummy_tasks import SEARCH, AddAnother, KillMyWorker, Note, Wait, diary, firework, words
from fireworks import Firework, LaunchPad, Workflow

from pyrite.errors import SearchFailed
from pyrite.launchers import workers
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.registry import WorkerRecord, register, registered
from pyrite.launchers.workers import WorkerPool

SECONDS = 60.0


@pytest.fixture
def make_pool(
    launchpad: LaunchPad, launchpad_file: Path, tmp_path: Path
) -> Iterator[Callable[[int], WorkerPool]]:
    pools = []

    def make(size: int) -> WorkerPool:
        search_path = os.pathsep.join(
            [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        )
        pool = WorkerPool(
            launchpad,
            launchpad_file,
            tmp_path,
            SEARCH,
            size,
            environment={"PYTHONPATH": search_path},
            tasks=("dummy_tasks",),
        )
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.stop()


def add(launchpad: LaunchPad, *fireworks: Firework) -> None:
    launchpad.add_wf(Workflow(list(fireworks), metadata={"search_id": SEARCH}, name=SEARCH))


def states(launchpad: LaunchPad) -> dict[str, str]:
    return {member.name: member.state for member in snapshot(launchpad, SEARCH).members}


def wait(condition: Callable[[], object], pool: WorkerPool | None = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        if pool is not None:
            pool.poll()
        time.sleep(0.1)


def all_completed(launchpad: LaunchPad) -> bool:
    return set(states(launchpad).values()) == {"COMPLETED"}


def test_a_workflow_with_additions_runs_to_its_end(launchpad, make_pool, tmp_path) -> None:
    first = firework(AddAnother, "first", tmp_path)
    add(launchpad, first, firework(Note, "second", tmp_path, [first]))
    pool = make_pool(2)
    pool.start()
    wait(lambda: all_completed(launchpad), pool)
    assert len(states(launchpad)) == 3
    for name in ("first", "second", "added"):
        assert words(tmp_path, name) == ["start", "end"]
    assert pool.alive == 2
    launch = launchpad.launches.find_one({})
    assert Path(launch["launch_dir"]).parent == tmp_path / "launches"


def test_no_task_leads_a_worker_into_another_directory(launchpad, make_pool, tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere"
    led = [firework(Note, f"led-{key}", tmp_path) for key in ("_launch_dir", "_files_out")]
    led[0].spec["_launch_dir"] = str(elsewhere)
    led[1].spec["_files_out"] = {"x": "/etc/passwd"}
    add(launchpad, *led, firework(Note, "sound", tmp_path))
    pool = make_pool(1)
    pool.start()
    wait(lambda: "COMPLETED" in states(launchpad).values(), pool)
    time.sleep(1)
    assert states(launchpad) == {
        "led-_launch_dir": "READY",
        "led-_files_out": "READY",
        "sound": "COMPLETED",
    }
    assert not elsewhere.exists()


def test_a_task_whose_worker_is_killed_is_run_again(launchpad, make_pool, tmp_path) -> None:
    first = firework(Wait, "first", tmp_path)
    other = firework(Wait, "other", tmp_path)
    add(launchpad, first, other, firework(Note, "last", tmp_path, [first, other]))
    pool = make_pool(2)
    pool.start()
    wait(lambda: diary(tmp_path, "first") and diary(tmp_path, "other"), pool)
    os.kill(diary(tmp_path, "first")[0][1], signal.SIGKILL)
    wait(lambda: len(diary(tmp_path, "first")) == 2, pool)
    (tmp_path / "gate").touch()
    wait(lambda: all_completed(launchpad), pool)
    assert words(tmp_path, "first") == ["start", "start", "end"]
    assert words(tmp_path, "other") == ["start", "end"], "the healthy worker's task was disturbed"
    assert words(tmp_path, "last") == ["start", "end"]


def test_a_worker_killed_between_tasks_is_replaced(launchpad, make_pool, tmp_path) -> None:
    pool = make_pool(1)
    pool.start()
    (before,) = pool.process_ids
    os.kill(before, signal.SIGKILL)
    wait(lambda: pool.process_ids and pool.process_ids != [before], pool)
    add(launchpad, firework(Note, "first", tmp_path))
    wait(lambda: all_completed(launchpad), pool)


def test_workers_that_always_die_end_the_search(
    launchpad, make_pool, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(workers, "MAX_DEATHS", 2)
    add(launchpad, firework(KillMyWorker, "first", tmp_path))
    pool = make_pool(1)
    pool.start()
    with pytest.raises(SearchFailed) as failure:
        wait(lambda: all_completed(launchpad), pool)
    assert "3 times in a row" in str(failure.value)
    assert "about to run out of memory" in str(failure.value)
    assert words(tmp_path, "first") == ["start"] * 3
    pool.stop()
    assert states(launchpad) == {"first": "READY"}


def test_stopping_ends_workers_and_frees_their_tasks(launchpad, make_pool, tmp_path) -> None:
    add(launchpad, firework(Wait, "first", tmp_path))
    pool = make_pool(2)
    pool.start()
    wait(lambda: diary(tmp_path, "first"), pool)
    processes = pool.process_ids
    began = time.monotonic()
    pool.stop()
    assert time.monotonic() - began < 2 * workers.GRACE_SECONDS
    assert not any(psutil.pid_exists(process) for process in processes)
    assert states(launchpad) == {"first": "READY"}


def test_workers_end_with_their_supervisor_and_the_next_one_resumes(
    launchpad, make_pool, launchpad_file, tmp_path
) -> None:
    add(launchpad, firework(Wait, "first", tmp_path))
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from fireworks import LaunchPad\n"
        "from pyrite.launchers.workers import WorkerPool\n"
        "file, home = map(Path, sys.argv[1:])\n"
        "launchpad = LaunchPad.from_file(str(file))\n"
        f"pool = WorkerPool(launchpad, file, home, {SEARCH!r}, 2, tasks=('dummy_tasks',))\n"
        "pool.start()\n"
        "while True:\n"
        "    pool.poll()\n"
        "    time.sleep(0.2)\n"
    )
    search_path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, str(launchpad_file), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": search_path},
    )
    wait(lambda: diary(tmp_path, "first"))
    records = list(registered(tmp_path, SEARCH))
    assert records
    supervisor.kill()
    supervisor.wait()
    wait(lambda: not any(record.is_alive() for record in records))
    assert states(launchpad) == {"first": "RUNNING"}

    pool = make_pool(1)
    pool.start()
    wait(lambda: len(diary(tmp_path, "first")) == 2, pool)
    (tmp_path / "gate").touch()
    wait(lambda: all_completed(launchpad), pool)
    left = {"launch_id": 10**6, "state": "RUNNING", "fworker": {"name": records[0].name}}
    launchpad.launches.insert_one(launchpad.launches.find_one({}, {"_id": 0}) | left)
    pool.stop()
    pool.forget()
    assert {"COMPLETED", "FIZZLED"} >= set(launchpad.launches.distinct("state"))
    assert list(registered(tmp_path, SEARCH)) == []


def test_a_record_does_not_outlive_its_process(tmp_path) -> None:
    mine = WorkerRecord.of_this_process("me", SEARCH)
    register(tmp_path, mine)
    assert list(registered(tmp_path, SEARCH)) == [mine]
    assert list(registered(tmp_path, "other")) == []
    assert mine.is_alive() is True
    reused = WorkerRecord("old", SEARCH, mine.host, mine.pid, mine.started - 1000)
    assert reused.is_alive() is False
    elsewhere = WorkerRecord("far", SEARCH, "another-host", mine.pid, mine.started)
    assert elsewhere.is_alive() is None


@pytest.mark.parametrize("jump", [-86400.0, -3.0, 3600.0])
def test_a_clock_that_is_set_kills_nobody(
    tmp_path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """When it is, the system tells another time of its own start, and of that of processes."""
    mine = WorkerRecord.of_this_process("me", SEARCH)
    booted, born = psutil.boot_time(), psutil.Process().create_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: booted + jump)
    assert psutil.Process().create_time() == pytest.approx(born + jump, abs=0.1)
    assert mine.is_alive() is True


def test_workers_of_other_launchers_are_never_lost(launchpad, make_pool, tmp_path) -> None:
    add(launchpad, firework(Note, "first", tmp_path))
    from fireworks import FWorker

    launchpad.checkout_fw(FWorker(name="qlaunch on a cluster"), str(tmp_path))
    pool = make_pool(0)
    pool.start()
    for _ in range(3):
        pool.poll()
    assert states(launchpad) == {"first": "RUNNING"}
