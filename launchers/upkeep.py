"""``pyrite maintain``: healing all searches of a store, for workers that nobody supervises.

The rules are those of :mod:`pyrite.launchers.maintenance`. What is peculiar to clusters is
whom to take for dead: nobody sees the processes of other machines, so a run counts as
lost when its heartbeat, which every task gives, stands still before our own eyes. Clocks
that differ or jump cannot make a healthy run look dead.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.errors import StoreError
from pyrite.firetasks.heartbeat import HEARTBEAT_SECONDS
from pyrite.launchers.maintenance import Healer, LaunchView
from pyrite.launchers.registry import registered

if TYPE_CHECKING:
    from pyrite.launchers.session import Session

LOST_AFTER = 300.0  # s without a heartbeat
WATCHED_FOR = 2.5 * HEARTBEAT_SECONDS  # s, of a silent run
ROUND_SECONDS = 1.0
LONGEST_PAUSE = 60.0

# How to ask a batch system about a job; it fails, or answers nothing, for one that is gone.
_QUEUES = {"squeue": ("squeue", "--noheader", "--jobs"), "qstat": ("qstat",)}


def job_is_gone(job: str) -> bool:
    """Whether the batch system, if there is one here, no longer knows a job."""
    for program, question in _QUEUES.items():
        if shutil.which(program) is None:
            continue
        with suppress(subprocess.TimeoutExpired, OSError):
            asked = subprocess.run(
                [*question, job], capture_output=True, text=True, timeout=30, check=False
            )
            complaint = asked.stderr.lower()
            if asked.returncode == 0:
                return not asked.stdout.strip()
            return "invalid job id" in complaint or "unknown job" in complaint
    return False


@dataclass
class Watch:
    """Tells lost runs of one search from healthy ones.

    Parameters
    ----------
    home : Path
        Where local workers are registered: of these we know at once whether they live.
    lost_after : float
        Seconds without a heartbeat.
    watched_for : float
        Seconds for which we have to see the silence ourselves.
    """

    home: Path
    search: str
    lost_after: float = LOST_AFTER
    watched_for: float = WATCHED_FOR
    is_gone: Callable[[str], bool] = job_is_gone
    _seen: dict[int, tuple[object, float]] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether a silent run is being watched."""
        return bool(self._seen)

    def __call__(self, launch: LaunchView) -> bool:
        """Whether a launch that is under way is lost."""
        for record in registered(self.home, self.search):
            if record.name == launch.worker and (alive := record.is_alive()) is not None:
                return not alive
        silent = launch.silent_for() > self.lost_after
        if silent and launch.state == "RESERVED" and launch.job is not None:
            silent = self.is_gone(launch.job)  # it may wait in the queue for days
        if not silent:
            self._seen.pop(launch.launch_id, None)
            return False
        pinged, since = self._seen.get(launch.launch_id, (None, 0.0))
        if pinged != (launch.state, launch.pinged):
            self._seen[launch.launch_id] = ((launch.state, launch.pinged), time.monotonic())
            return False
        lost = time.monotonic() - since >= self.watched_for
        if lost:
            self._seen.pop(launch.launch_id, None)
        return lost


@dataclass
class Upkeep:
    """Heals every search of a store that is not done."""

    session: "Session"
    say: Callable[[str], None]
    lost_after: float = LOST_AFTER
    watched_for: float = WATCHED_FOR
    _healers: dict[str, tuple[Healer, Watch]] = field(default_factory=dict)

    def once(self) -> int:
        """Look until nothing is left to be healed or watched; the number of healings."""
        healed = 0
        while True:
            found, waiting = self._round()
            healed += found
            if not found and not waiting:
                return healed
            time.sleep(ROUND_SECONDS)

    def forever(self, seconds: float) -> None:
        """Look every so many seconds; a database that is away is waited for."""
        pause = seconds
        while True:
            try:
                self._round()
                pause = seconds
            except StoreError as error:
                pause = min(LONGEST_PAUSE, 2 * max(pause, ROUND_SECONDS))
                self.say(f"{error}; trying again in {pause:.0f} s")
                with suppress(StoreError):
                    self.session.revive()
            time.sleep(pause)

    def _round(self) -> tuple[int, bool]:
        """Healings of one look at everything, and whether something is being watched."""
        from fireworks.core.launchpad import LockedWorkflowError

        from pyrite.mongo import translated

        said: list[str] = []
        waiting = False
        with translated(self.session.store.address):
            for search in self._unfinished():
                healer, watch = self._healers.setdefault(search, self._healer(search))
                healer.say = lambda what, search=search: said.append(f"{search}: {what}")  # type: ignore[misc]
                try:
                    healer.heal()
                except LockedWorkflowError:  # somebody was quicker; there is a next time
                    waiting = True
                waiting = waiting or healer.waiting or watch.waiting
        for sentence in said:
            self.say(sentence)
        return len(said), waiting

    def _unfinished(self) -> Iterator[str]:
        unfinished = {"$or": [{"state": {"$ne": "COMPLETED"}}, {"locked": {"$exists": True}}]}
        found = self.session.launchpad.workflows.distinct("metadata.search_id", unfinished)
        yield from sorted(found)

    def _healer(self, search: str) -> tuple[Healer, Watch]:
        watch = Watch(self.session.home, search, self.lost_after, self.watched_for)
        return Healer(self.session.launchpad, search, watch), watch
