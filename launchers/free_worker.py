"""``pyrite work``: a worker that nobody supervises, for the tasks of all searches of a store."""

import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pyrite.errors import StoreError
from pyrite.launchers.endings import GOES_ON, INTERRUPTED, SIGNALS, told
from pyrite.launchers.own_tasks import QUERY, load_only
from pyrite.launchers.processes import MARK, kill_programs_of
from pyrite.launchers.registry import ANY_SEARCH, WorkerRecord, forget, register
from pyrite.launchers.workers import WORKER_ENVIRONMENT, run_one, write_fireworks_config

if TYPE_CHECKING:
    from pyrite.launchers.session import Session

LOOK_SECONDS = 2.0
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


def in_the_environment_of_workers(home: Path) -> None:
    """Begin this process anew, unless its threads and memory are set for networks already.

    The C library reads its settings when a process starts, FireWorks when it is imported.
    """
    from pyrite.launchers.session import make_home
    from pyrite.settings import settings

    if settings().uri is None and not (home / "store").is_dir():
        return  # there is nothing to work at, as whoever attaches will say
    make_home(home.absolute())
    wanted = {
        **WORKER_ENVIRONMENT,
        "FW_CONFIG_FILE": str(write_fireworks_config(home).absolute()),
        "PYRITE_MAKERS": "none",  # who wrote the searches of a store is not known
    }
    if not all(os.environ.get(name) for name in wanted):
        environment = {**os.environ, **{key: os.environ.get(key) or wanted[key] for key in wanted}}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


class FreeWorker:
    """Takes one task after another; a database that is away is waited for.

    Parameters
    ----------
    category
        only tasks of this ``_category``; default: all
    idle
        seconds without a task after which `work` returns; default: never
    """

    def __init__(
        self,
        session: "Session",
        say: Callable[[str], None],
        category: str | None = None,
        idle: float | None = None,
    ) -> None:
        self.session, self.say, self.category, self.idle = session, say, category, idle
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._told: set[str] = set()

    def work(self) -> None:
        """Work until nothing was to be done for long enough, or for ever."""
        from pyrite.mongo import translated

        load_only()
        os.environ[MARK] = self.name  # of the programs that its tasks start
        register(self.session.home, WorkerRecord.of_this_process(self.name, ANY_SEARCH))
        pause, since = SHORTEST_PAUSE, time.monotonic()
        while self.idle is None or time.monotonic() - since < self.idle:
            try:
                with translated(self.session.store.address):
                    ran = self._run_one()
            except (StoreError, OSError) as error:
                self.say(f"{error}; trying again in {pause:.0f} s")
                time.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)
                with suppress(StoreError):
                    self.session.revive()
                continue
            pause = SHORTEST_PAUSE
            if ran:
                since = time.monotonic()
            else:
                time.sleep(LOOK_SECONDS)

    def _run_one(self) -> bool:
        from fireworks import FWorker

        query = {**QUERY, "spec.makers": {"$in": [None, *self._makers()]}}
        worker = FWorker(name=self.name, category=self.category or "", query=query)
        try:
            with self._ended_by_signals():
                return run_one(self.session.launchpad, worker, self.session.home)
        except RuntimeError as error:  # FireWorks could not refresh a workflow; it says why itself
            raise StoreError(str(error).strip().splitlines()[-1]) from None

    def _makers(self) -> list[str]:
        """Makers of tasks that wait, if they may run here; the others' tasks are left to others."""
        from pyrite.settings import settings

        waiting = self.session.launchpad.fireworks.distinct("spec.makers", {"state": "READY"})
        machine = settings().machine()
        refused = {one for one in waiting if not machine.allows(one)}
        for makers in sorted(refused - self._told):
            self.say(
                "tasks are left to others, since their Makers may not run here; if you know who "
                f"wrote the search, start this worker with PYRITE_MAKERS='{makers}'"
            )
        self._told |= refused
        return sorted(set(waiting) - refused)

    @contextmanager
    def _ended_by_signals(self) -> Iterator[None]:
        """Within a task, end like a killed process, and give the task back from a new one.

        An exception does not get through: FireWorks would take it for the task's failure, as
        Lightning and custodian may before. The new process has this one's id, and no locks.
        """
        module, home = "pyrite.launchers.free_worker", str(self.session.home)

        def end(*_: object) -> None:
            for again in kept:
                signal.signal(again, signal.SIG_IGN)  # and so it stays in the new process
            kill_programs_of(self.name)
            os.execv(sys.executable, [sys.executable, "-m", module, home, self.name])

        kept = {one: signal.getsignal(one) for one in SIGNALS}
        for number, handler in kept.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, end)
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def give_back(self) -> None:
        """Let others run what this worker leaves unfinished."""
        give_back(self.session, self.name)


def give_back(session: "Session", name: str) -> None:
    """Let others run what a worker of this name, which has ended, leaves unfinished."""
    from pyrite.launchers.maintenance import Healer
    from pyrite.mongo import translated

    with suppress(StoreError), translated(session.store.address):
        left = {"fworker.name": name, "state": {"$in": ["RUNNING", "RESERVED"]}}
        launchpad = session.launchpad
        tasks = {"fw_id": {"$in": launchpad.launches.distinct("fw_id", left)}}
        for search in launchpad.fireworks.distinct("spec.search_id", tasks):
            Healer(launchpad, search, lambda launch: launch.worker == name).heal()
        forget(session.home, name)


def main() -> None:
    """What becomes of a worker that a signal ends within a task."""
    from pyrite.launchers.session import attached

    home, name = sys.argv[1:]
    with told(), attached(Path(home), create=False) as session:
        give_back(session, name)
    Console().print(f"stopped; {GOES_ON}")
    sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
