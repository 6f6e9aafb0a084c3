"""Healing what dead workers leave in the FireWorks database.

FireWorks writes one step of its bookkeeping at a time, so a process that is
killed leaves whatever it had written so far. Every function here heals one such
residue, is safe to repeat, and is safe beside healthy workers: it acts at once
only on tasks of workers known to be dead; everything else must have stood still
for a while, with the workflow unlocked, before it is touched.

All functions take one :class:`~pyrite.launchers.bookkeeping.Snapshot` of what is
unfinished of a search and return the ids of the fireworks they healed. Tasks are
idempotent, so the worst that a mistaken healing can do is to run one twice.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from fireworks import LaunchPad

from pyrite.errors import TooManyFailedLabels
from pyrite.launchers.bookkeeping import (
    FireworkView,
    LaunchView,
    Snapshot,
    stacktrace,
    strays,
    unfinished,
)

logger = logging.getLogger(__name__)

LOCK_PATIENCE = 15.0  # s; a healthy worker holds a workflow's lock for well under one
RESIDUE_PATIENCE = 5.0  # s; a healthy checkout or completion takes a few tenths
MAX_REFRESHES = 3  # of one firework that FireWorks itself gave up on
MAX_OUTAGES = 5  # that one firework is set back for

_ENDED = frozenset({"COMPLETED", "FIZZLED"})
_UNDER_WAY = frozenset({"RESERVED", "RUNNING"})
_SHELVED = frozenset({"ARCHIVED", "DEFUSED", "PAUSED"})

IsLost = Callable[[LaunchView], bool]


@dataclass
class Patience[Finding: Hashable]:
    """Tells what has stood still for ``seconds`` from what is merely passing by."""

    seconds: float
    _since: dict[Finding, float] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether there is anything that may turn out to stand still."""
        return bool(self._since)

    def lasting(self, findings: Iterable[Finding]) -> set[Finding]:
        """Those findings that were there at every call for at least ``seconds``."""
        now = time.monotonic()
        self._since = {finding: self._since.get(finding, now) for finding in findings}
        return {finding for finding, since in self._since.items() if now - since >= self.seconds}


def rerun_lost(launchpad: LaunchPad, seen: Snapshot, is_lost: IsLost) -> list[int]:
    """Set back what a dead worker was running or had reserved.

    Residue: firework RUNNING or RESERVED, launch RUNNING or RESERVED, for ever;
    ``detect_lostruns`` finds it hours later. The dead launch is marked FIZZLED only
    after the firework was set back, so that being killed in between is harmless.
    A firework that was taken before its parents' completion was fully written is
    WAITING meanwhile, and has its turn when :class:`Refresher` has seen to them.
    """
    healed = []
    for firework in seen.members:
        launch = firework.launch
        if (
            launch is not None
            and launch.state in _UNDER_WAY
            and firework.state not in {"WAITING", "COMPLETED", *_SHELVED}
            and is_lost(launch)
        ):
            launchpad.rerun_fw(firework.fw_id)
            launchpad.launches.update_one(
                {"launch_id": launch.launch_id, "state": launch.state},
                {"$set": {"state": "FIZZLED"}},
            )
            healed.append(firework.fw_id)
    return healed


def rerun_unlaunched(
    launchpad: LaunchPad, seen: Snapshot, patience: Patience[tuple[int, str]]
) -> list[int]:
    """Set back reservations that nobody holds.

    Residue: firework RESERVED with ``launches: []``, of a worker that died between
    taking a firework and writing its launch, which would have named the worker.
    """
    waiting = {
        (firework.fw_id, firework.updated_on)
        for firework in seen.in_state(*_UNDER_WAY)
        if firework.launch is None
    }
    healed = [fw_id for fw_id, _ in patience.lasting(waiting)]
    for fw_id in healed:
        launchpad.rerun_fw(fw_id)
    return healed


def release_lock(
    launchpad: LaunchPad, seen: Snapshot, patience: Patience[tuple[str, str]]
) -> list[int]:
    """Unlock a workflow whose lock has not moved for long.

    Residue: ``locked: True``, left by a worker that died while it updated the
    workflow. Each update changes ``updated_on``, so many short locks in a row are
    not taken for one long lock.
    """
    locked = {
        (str(workflow["_id"]), str(workflow["updated_on"])): workflow
        for workflow in seen.workflows
        if "locked" in workflow
    }
    released = [locked[one] for one in patience.lasting(locked)]
    for workflow in released:
        launchpad.workflows.update_one(
            {"_id": workflow["_id"], "updated_on": workflow["updated_on"]},
            {"$unset": {"locked": True}},
        )
    return [int(node) for workflow in released for node in workflow["nodes"]]


class Refresher:
    """Brings fireworks, launches and workflow back in step, each firework a few times at most.

    Residues, of a worker that died between two writes of a completion:

    - launch COMPLETED or FIZZLED, firework still RUNNING;
    - firework COMPLETED, ``fw_states`` of its workflow still RUNNING, its children
      or additions never released (FireWorks' own refresh overlooks this: it compares
      with the firework only, so the firework is first put back to RUNNING);
    - firework FIZZLED by FireWorks because the database went away while it was
      refreshed, though its launch did not fail;
    - firework WAITING though all its parents are COMPLETED.
    """

    def __init__(self, patience: float = RESIDUE_PATIENCE) -> None:
        self.patience: Patience[tuple[int, str, str]] = Patience(patience)
        self._refreshes: dict[int, int] = {}

    def __call__(self, launchpad: LaunchPad, seen: Snapshot) -> list[int]:
        """Refresh what is out of step, parents before children."""
        findings = {
            (firework.fw_id, firework.state, firework.updated_on)
            for firework in seen.members
            if self._out_of_step(seen, firework)
        }
        healed = sorted({fw_id for fw_id, _, _ in self.patience.lasting(findings)})
        for fw_id in healed:
            self._refreshes[fw_id] = self._refreshes.get(fw_id, 0) + 1
            launchpad.fireworks.update_one(
                {"fw_id": fw_id, "state": {"$in": sorted(_ENDED)}}, {"$set": {"state": "RUNNING"}}
            )
            try:
                launchpad._refresh_wf(fw_id)
            except RuntimeError:  # FireWorks has marked it FIZZLED
                logger.exception("firework %d cannot be refreshed", fw_id)
        return healed

    def _out_of_step(self, seen: Snapshot, firework: FireworkView) -> bool:
        if firework.state in _SHELVED or self._refreshes.get(firework.fw_id, 0) >= MAX_REFRESHES:
            return False
        launch = firework.launch
        if launch is not None and launch.state in _ENDED:
            if firework.state != launch.state:
                return True
            return seen.state_in_workflow(firework.fw_id) != firework.state
        return firework.state == "WAITING" and all(
            seen.state_in_workflow(parent) == "COMPLETED" for parent in seen.parents(firework.fw_id)
        )


class OutageHealer:
    """Sets back what failed because no database answered, each firework a few times at most.

    Residue: firework and launch FIZZLED, of a worker whose database was away while its task
    asked for something, or while FireWorks wrote how the task had ended, and was back in time
    to be told of that as a failure.
    """

    def __init__(self, patience: float = RESIDUE_PATIENCE) -> None:
        self.patience: Patience[tuple[int, int]] = Patience(patience)
        self._outages: Counter[int] = Counter()

    def __call__(self, launchpad: LaunchPad, seen: Snapshot) -> list[int]:
        """Set back what an outage has struck."""
        struck = {
            (one.fw_id, one.launch.launch_id)
            for one in seen.in_state("FIZZLED")
            if one.launch is not None
            and one.launch.outage
            and self._outages[one.fw_id] < MAX_OUTAGES
        }
        healed = sorted(fw_id for fw_id, _ in self.patience.lasting(struck))
        for fw_id in healed:
            self._outages[fw_id] += 1
            launchpad.rerun_fw(fw_id)
        return healed


def delete_orphans(launchpad: LaunchPad, seen: Snapshot, patience: Patience[int]) -> list[int]:
    """Delete fireworks of a search that belong to no workflow.

    Residue: fireworks are written before the workflow that lists them; a process
    that died in between leaves READY fireworks that would fizzle whoever takes
    them. Their originals are added again by :class:`Refresher` or ``pyrite run``.
    """
    strays = set(seen.fireworks) - {firework.fw_id for firework in seen.members}
    if strays:  # a search file that was added twice has two workflows: what one lists is no orphan
        listed = launchpad.workflows.find({"nodes": {"$in": sorted(strays)}}, {"nodes": 1})
        strays.difference_update(*(one["nodes"] for one in listed))
    healed = sorted(patience.lasting(strays))
    if healed:
        launchpad.fireworks.delete_many({"fw_id": {"$in": healed}})
        launchpad.launches.delete_many({"fw_id": {"$in": healed}})
    return healed


def end_strays(
    launchpad: LaunchPad, search: str, is_lost: IsLost, patience: Patience[int]
) -> list[int]:
    """Mark launches of dead workers that are nobody's last launch as FIZZLED.

    Residue: a launch RUNNING for ever, of a worker that died between writing it and naming it
    in its firework, or that ran a task beside the one that took its place.
    """
    found = strays(launchpad, search)
    lost = {launch.launch_id: fw_id for fw_id, launch in found if is_lost(launch)}
    ended = sorted(patience.lasting(lost))
    if ended:
        mine = {"launch_id": {"$in": ended}, "state": {"$in": sorted(_UNDER_WAY)}}
        launchpad.launches.update_many(mine, {"$set": {"state": "FIZZLED"}})
    return [lost[launch_id] for launch_id in ended]


def rerun_failed(launchpad: LaunchPad, search: str) -> list[int]:
    """Set back every FIZZLED firework of a search: its user says that the cause is mended.

    One that would not go on with so many failed reference calculations would only find
    them again: its parents, which make up for the failed ones, run first.
    """
    seen = unfinished(launchpad, search)
    healed: set[int] = set()
    for firework in seen.in_state("FIZZLED"):
        wants_parents = TooManyFailedLabels.__name__ in stacktrace(launchpad, firework)
        healed.update(seen.parents(firework.fw_id) if wants_parents else [firework.fw_id])
    for fw_id in sorted(healed):
        launchpad.rerun_fw(fw_id)
    return sorted(healed)


@dataclass
class Healer:
    """All of the above for one search, to be called every second or two."""

    launchpad: LaunchPad
    search: str
    is_lost: IsLost
    lock: Patience[tuple[str, str]] = field(default_factory=lambda: Patience(LOCK_PATIENCE))
    unlaunched: Patience[tuple[int, str]] = field(
        default_factory=lambda: Patience(RESIDUE_PATIENCE)
    )
    orphans: Patience[int] = field(default_factory=lambda: Patience(RESIDUE_PATIENCE))
    strays: Patience[int] = field(default_factory=lambda: Patience(RESIDUE_PATIENCE))
    refresh: Refresher = field(default_factory=Refresher)
    outages: OutageHealer = field(default_factory=OutageHealer)
    say: Callable[[str], None] = logger.info

    @property
    def waiting(self) -> bool:
        """Whether something has not stood still for long enough to be healed."""
        patiences = (self.lock, self.unlaunched, self.orphans, self.strays)
        nested = (self.refresh.patience, self.outages.patience)
        return any(one.waiting for one in (*patiences, *nested))

    def heal(self) -> Snapshot:
        """Heal what can be healed now; returns the unfinished bookkeeping as it was before."""
        launchpad, seen = self.launchpad, unfinished(self.launchpad, self.search)
        if seen.locked:  # whoever holds the lock may be about to put things right
            if release_lock(launchpad, seen, self.lock):
                self.say("the workflow was locked by a process that is gone: unlocked")
            return seen
        self.lock.lasting(())
        self._say(seen, rerun_lost(launchpad, seen, self.is_lost), "was lost: set back")
        unlaunched = rerun_unlaunched(launchpad, seen, self.unlaunched)
        self._say(seen, unlaunched, "was taken by nobody: set back")
        self._say(seen, self.refresh(launchpad, seen), "disagreed with its workflow: refreshed")
        struck = self.outages(launchpad, seen)
        self._say(seen, struck, "failed while the database was away: set back")
        orphans = delete_orphans(launchpad, seen, self.orphans)
        self._say(seen, orphans, "belonged to no workflow: deleted")
        ended = end_strays(launchpad, self.search, self.is_lost, self.strays)
        self._say(seen, ended, "had a launch that was never ended: FIZZLED")
        return seen

    def _say(self, seen: Snapshot, healed: Iterable[int], what: str) -> None:
        for fw_id in healed:
            one = seen.fireworks.get(fw_id)  # none, if its workflow is done
            self.say(f"firework {fw_id}{'' if one is None else f' ({one.name})'} {what}")
