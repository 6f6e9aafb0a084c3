"""``pyrite maintain``: healing all searches of a store, for workers that nobody supervises.

The rules are those of :mod:`pyrite.launchers.maintenance`. What is peculiar to clusters is
whom to take for dead: nobody sees the processes of other machines, so a run counts as
lost when its heartbeat, which every task gives, stands still before our own eyes, or when
the batch system no longer has the job that was reserved for it. Clocks that differ or jump
cannot make a healthy run look dead.
"""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.documents import SearchState
from pyrite.errors import StoreError
from pyrite.firetasks.heartbeat import HEARTBEAT_SECONDS
from pyrite.launchers.bookkeeping import UNFINISHED, LaunchView, unfinished
from pyrite.launchers.maintenance import Healer
from pyrite.launchers.registry import registered
from pyrite.launchers.stranded import Stranded

if TYPE_CHECKING:
    from pyrite.launchers.session import Session

LOST_AFTER = 300.0  # s without a heartbeat
WATCHED_FOR = 2.5 * HEARTBEAT_SECONDS  # s, of a silent run
GONE_FOR = 10.0  # s, of a job that the batch system no longer has
ROUND_SECONDS = 1.0
LONGEST_PAUSE = 60.0

# What lists all jobs that wait or run, one in a line that begins with its number.
_QUEUES = ("squeue --noheader --format=%i", "qstat")


def jobs_in_queue() -> frozenset[str] | None:
    """Numbers of all jobs of the batch system; None if there is none here, or no answer."""
    for question in _QUEUES:
        program, *arguments = question.split()
        if shutil.which(program) is None:
            continue
        with suppress(subprocess.TimeoutExpired, OSError):
            asked = subprocess.run(
                [program, *arguments], capture_output=True, text=True, timeout=30, check=False
            )
            if asked.returncode == 0:
                lines = (re.match(r"\s*(\d+)", line) for line in asked.stdout.splitlines())
                return frozenset(line[1] for line in lines if line)
    return None


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
    jobs: Callable[[], frozenset[str] | None] = jobs_in_queue
    _seen: dict[int, tuple[object, float]] = field(default_factory=dict)
    _silent: set[int] = field(default_factory=set)
    _queue: tuple[float, frozenset[str] | None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a silent run is being watched."""
        return bool(self._silent)

    def __call__(self, launch: LaunchView) -> bool:
        """Whether a launch that is under way is lost."""
        for record in registered(self.home, self.search):
            if record.name == launch.worker and (alive := record.is_alive()) is not None:
                return not alive
        mine, sign = launch.launch_id, (launch.state, launch.pinged)
        before, since = self._seen.get(mine, (None, 0.0))
        if sign != before:
            before, since = self._seen[mine] = sign, time.monotonic()
        unchanged = time.monotonic() - since
        in_queue = self._is_in_queue(launch)
        if in_queue is False:
            silent, lost = True, unchanged >= GONE_FOR
        elif launch.state == "RESERVED" and launch.job is not None:
            silent = lost = False  # it may wait in the queue for days
        else:
            silent = launch.silent_for() > self.lost_after
            lost = silent and unchanged >= self.watched_for
        if silent and not lost:
            self._silent.add(mine)
        else:
            self._silent.discard(mine)
        return lost

    def _is_in_queue(self, launch: LaunchView) -> bool | None:
        """Whether the batch system still has the job of a launch; None if we cannot know."""
        if launch.job is None or launch.host != socket.gethostname():
            return None  # another cluster's jobs may have the same numbers
        now = time.monotonic()
        if self._queue is None or now - self._queue[0] > GONE_FOR / 2:
            self._queue = now, self.jobs()
        jobs = self._queue[1]
        return None if jobs is None else re.sub(r"\D.*", "", launch.job) in jobs


@dataclass
class Upkeep:
    """Heals every search of a store that is not done."""

    session: "Session"
    say: Callable[[str], None]
    lost_after: float = LOST_AFTER
    watched_for: float = WATCHED_FOR
    _healers: dict[str, tuple[Healer, Watch]] = field(default_factory=dict)
    _stranded: dict[str, Stranded] = field(default_factory=dict)

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
                said.extend(self._run_stranded(search))
        for sentence in said:
            self.say(sentence)
        return len(said), waiting

    def _run_stranded(self, search: str) -> list[str]:
        stranded = self._stranded.setdefault(search, Stranded())
        launchpad = self.session.launchpad
        healed = stranded(launchpad, unfinished(launchpad, search))
        if healed:
            self.session.store.set_state(search, SearchState.RUNNING)
        return [f"{search}: firework {fw_id} failed for its machine: set back" for fw_id in healed]

    def _unfinished(self) -> Iterator[str]:
        launchpad = self.session.launchpad
        workflows = launchpad.workflows
        found: set[str] = set()
        for query in ({"state": {"$in": list(UNFINISHED)}}, {"locked": True}):
            found.update(workflows.distinct("metadata.search_id", query))
        under_way = {"state": {"$in": ["RESERVED", "RUNNING"]}}  # also of searches that are done
        ids = launchpad.launches.distinct("fw_id", under_way)
        found.update(launchpad.fireworks.distinct("spec.search_id", {"fw_id": {"$in": ids}}))
        yield from sorted(found)

    def _healer(self, search: str) -> tuple[Healer, Watch]:
        watched_for = min(self.watched_for, self.lost_after)
        watch = Watch(self.session.home, search, self.lost_after, watched_for)
        return Healer(self.session.launchpad, search, watch), watch
