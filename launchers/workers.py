"""Local worker processes, and the supervisor that keeps them going.

A worker takes one firework after another until its supervisor ends or tells it to
stop. It does nothing to survive: any trouble ends it, and the supervisor heals
what it left (see :mod:`pyrite.launchers.maintenance`) and starts another. The
programs that its tasks start, such as VASP, carry its name in their environment
and go with it.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrite.errors import MachineError, SearchFailed
from pyrite.launchers.own_tasks import IN_PLACE, OWN_TASKS, load_only
from pyrite.launchers.processes import MARK, kill_programs_of
from pyrite.launchers.registry import WorkerRecord, forget_dead, register, registered
from pyrite.models.machine_trouble import gpu_is_lost

if TYPE_CHECKING:
    from fireworks import FWorker, LaunchPad

    from pyrite.launchers.bookkeeping import LaunchView, Snapshot

PING_SECONDS = 30
LOST_AFTER_SECONDS = 5 * PING_SECONDS  # of silence, for workers of another host
IDLE_SECONDS = 0.3
GRACE_SECONDS = 3.0
MAX_DEATHS = 10  # in a row, without a completed firework in between
LONGEST_PAUSE = 15.0
LOG_TAIL = 12  # lines

# glibc gives memory back so eagerly that SchNetPack spends two thirds of its time on page
# faults; one thread per process, because the supervisor starts one process per core.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "PYTHONUNBUFFERED": "1",
}

FIREWORKS_CONFIG = {
    "PING_TIME_SECS": PING_SECONDS,
    "RUN_EXPIRATION_SECS": LOST_AFTER_SECONDS,
    "WFLOCK_EXPIRATION_SECS": 20,
    "WFLOCK_EXPIRATION_KILL": True,
    "RAPIDFIRE_SLEEP_SECS": 1,
}


def write_fireworks_config(home: Path) -> Path:
    """Write FireWorks' own settings (heartbeats, lock expiry) for the workers of a home."""
    path = home / "FW_config.yaml"
    lines = [f"{key}: {str(value).lower()}" for key, value in FIREWORKS_CONFIG.items()]
    text = "\n".join([*lines, ""])
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


# ------------------------------------------------------------------ the worker


def work(launchpad_file: Path, home: Path, search: str, name: str) -> None:
    """Run one firework of a search after another, until the process is ended."""
    from fireworks import FWorker, LaunchPad

    from pyrite.point_writes import use_point_writes

    # The epochs of a training, among other things, into the worker's log.
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("pyrite").setLevel(logging.INFO)
    launchpad = LaunchPad.from_file(str(launchpad_file))
    use_point_writes(launchpad)
    worker = FWorker(name=name, query={"spec.search_id": search, **IN_PLACE})
    while True:
        if not run_one(launchpad, worker, home):
            time.sleep(IDLE_SECONDS)


def run_one(launchpad: "LaunchPad", worker: "FWorker", home: Path) -> bool:
    """Run one firework in a new folder of ``home/launches``; whether there was one.

    Raises
    ------
    MachineError
        If its GPU is out of order, which it stays for the rest of a process.
    """
    from fireworks.core.rocket_launcher import launch_rocket
    from fireworks.utilities.fw_utilities import create_datestamp_dir, get_fw_logger

    if not launchpad.run_exists(worker):
        return False
    launches = home / "launches"
    launches.mkdir(parents=True, exist_ok=True)
    logger = get_fw_logger("pyrite.worker")
    directory = Path(create_datestamp_dir(str(launches), logger, prefix="launcher_"))
    os.chdir(directory)
    try:
        launch_rocket(launchpad, worker)
    finally:
        os.chdir(home)
        with suppress(OSError):  # not empty: something was run there
            directory.rmdir()
    if gpu_is_lost():
        raise MachineError(
            f"worker {worker.name} ends, since its GPU is out of order; its task failed, and "
            "'pyrite maintain' or the same 'pyrite run' runs it again"
        )
    return True


def end_at_once(*_: object) -> None:
    """End without another word to the database: the supervisor heals what is left.

    A handler rather than the system's default, which Lightning would replace by one
    that makes a failure of the training that is interrupted.
    """
    kill_programs_of(os.environ.get(MARK, ""))
    os._exit(128 + signal.SIGTERM)


def end_with(parent: int) -> None:
    """End the whole process group as soon as the supervisor is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(IDLE_SECONDS)
        kill_programs_of(os.environ.get(MARK, ""))
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()


def main() -> None:
    """Entry point of ``python -m pyrite.launchers.workers``."""
    parser = argparse.ArgumentParser(description="One worker process of a search.")
    parser.add_argument("--launchpad", type=Path, required=True, help="my_launchpad.yaml")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--search", required=True)
    parser.add_argument("--name", required=True, help="name of this worker, never used before")
    parser.add_argument("--parent", type=int, required=True, help="process id of the supervisor")
    parser.add_argument("--tasks", nargs="+", default=OWN_TASKS, help="packages of their code")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business
    signal.signal(signal.SIGTERM, end_at_once)
    end_with(options.parent)
    register(options.home, WorkerRecord.of_this_process(options.name, options.search))
    load_only(options.tasks)
    try:
        work(options.launchpad, options.home, options.search, options.name)
    except MachineError as error:
        sys.exit(str(error))  # the supervisor starts another


# -------------------------------------------------------------- the supervisor


@dataclass
class _Worker:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End the worker, if it still lives, and the programs that its task had started."""
        self.signal_group(signal.SIGKILL)
        self.process.wait()
        kill_programs_of(self.name)


@dataclass
class WorkerPool:
    """Keeps ``size`` workers of one search alive and heals what dead ones leave.

    Parameters
    ----------
    launchpad : LaunchPad
        The supervisor's own connection.
    launchpad_file : Path
        From which the workers make theirs.
    home : Path
        Where workers are registered, log and launch.
    search : str
        Only fireworks with this ``spec.search_id`` are run and healed.
    size : int
        Number of worker processes.
    tasks : tuple of str
        Packages of the tasks that workers may load.
    """

    launchpad: "LaunchPad"
    launchpad_file: Path
    home: Path
    search: str
    size: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = OWN_TASKS
    _workers: list[_Worker] = field(default_factory=list, init=False)
    _deaths: int = field(default=0, init=False)  # in a row
    _all_deaths: int = field(default=0, init=False)
    _completed: set[int] = field(default_factory=set, init=False)
    _resume_at: float = field(default=0.0, init=False)
    _last_log: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        from pyrite.launchers.maintenance import Healer

        self.home = self.home.absolute()
        self.launchpad_file = self.launchpad_file.absolute()
        self._healer = Healer(self.launchpad, self.search, self.is_lost)

    @property
    def alive(self) -> int:
        """Number of living workers."""
        return sum(worker.process.poll() is None for worker in self._workers)

    @property
    def deaths(self) -> int:
        """Number of workers that died, all told."""
        return self._all_deaths

    @property
    def process_ids(self) -> list[int]:
        """Process ids of the living workers."""
        return [worker.process.pid for worker in self._workers if worker.process.poll() is None]

    def is_lost(self, launch: "LaunchView") -> bool:
        """Whether a launch belongs to a dead worker of this home.

        Workers that this home knows nothing of, such as those that qlaunch started
        on a cluster, are never taken for dead.
        """
        for record in registered(self.home, self.search):
            if record.name == launch.worker:
                alive = record.is_alive()
                if alive is None:
                    return launch.silent_for() > LOST_AFTER_SECONDS
                return not alive
        return False

    def start(self) -> None:
        """Heal what earlier workers left, then start the workers."""
        write_fireworks_config(self.home)
        (self.home / "logs").mkdir(exist_ok=True)
        self._heal()
        while len(self._workers) < self.size:
            self._workers.append(self._spawn())

    def poll(self) -> "Snapshot":
        """Replace dead workers and heal; to be called about once a second.

        Returns
        -------
        Snapshot
            What is unfinished of the search, as it stood before healing.

        Raises
        ------
        SearchFailed
            When workers keep dying without completing anything.
        """
        self._bury()
        seen = self._heal()
        completed = {one.fw_id for one in seen.in_state("COMPLETED")}
        if completed - self._completed:
            self._deaths = 0
        self._completed = completed
        if self._deaths > MAX_DEATHS:
            raise SearchFailed(self._why_they_die())
        if len(self._workers) < self.size and time.monotonic() >= self._resume_at:
            self._workers.append(self._spawn())
        return seen

    def stop(self) -> None:
        """End all workers, and set back what they were running."""
        for worker in self._workers:
            worker.signal_group(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            worker.kill()
        self._workers.clear()
        self._heal()

    def forget(self) -> None:
        """Drop the records of dead workers, once nothing of theirs is left; for a search that is
        done, and workers that were stopped."""
        from pyrite.launchers.maintenance import Patience, end_strays

        end_strays(self.launchpad, self.search, self.is_lost, Patience(0))
        forget_dead(self.home, self.search)

    def _heal(self) -> "Snapshot":
        from fireworks.core.launchpad import LockedWorkflowError

        from pyrite.launchers.bookkeeping import unfinished

        try:
            return self._healer.heal()
        except LockedWorkflowError:  # somebody was quicker; there is a next time
            return unfinished(self.launchpad, self.search)

    def _bury(self) -> None:
        for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
            worker.kill()
            self._workers.remove(worker)
            self._last_log = worker.log
            self._deaths += 1
            self._all_deaths += 1
            pause = min(LONGEST_PAUSE, 0.25 * 2.0 ** min(self._deaths - 1, 10))
            self._resume_at = time.monotonic() + pause

    def _spawn(self) -> _Worker:
        name = f"{self.search}-{uuid.uuid4().hex[:10]}"
        log = self.home / "logs" / f"{name}.log"
        command: list[Any] = [
            *(sys.executable, "-m", "pyrite.launchers.workers"),
            *("--launchpad", self.launchpad_file, "--home", self.home),
            *("--search", self.search, "--name", name, "--parent", str(os.getpid())),
            *("--tasks", *self.tasks),
        ]
        environment = {
            **os.environ,
            **WORKER_ENVIRONMENT,
            "FW_CONFIG_FILE": str(self.home / "FW_config.yaml"),
            MARK: name,
            **self.environment,
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.home,  # where FireWorks looks for FW_config.yaml first
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return _Worker(name, process, log)

    def _why_they_die(self) -> str:
        log = self._last_log
        lines = log.read_text(errors="replace").splitlines() if log and log.exists() else []
        tail = "\n".join(f"    {line}" for line in lines[-LOG_TAIL:]) or "    (it is empty)"
        return (
            f"worker processes died {self._deaths} times in a row without completing a task, "
            f"for want of memory perhaps; mend the cause and give the same command again. "
            f"The end of {log}:\n{tail}"
        )


if __name__ == "__main__":
    main()
