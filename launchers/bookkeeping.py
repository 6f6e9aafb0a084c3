"""What FireWorks has written down about a search, read at one moment.

Each iteration of a search is a workflow of its own (see :mod:`pyrite.firetasks.loop`), so what
is still to be done or healed is a few workflows, however many have been completed before.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from fireworks import LaunchPad

UNFINISHED = (
    *("WAITING", "READY", "RESERVED", "RUNNING", "FIZZLED"),
    *("PAUSED", "DEFUSED", "ARCHIVED"),
)
"""All states but COMPLETED: asked for one by one, since indexes cannot serve a negation."""

_AT_A_TIME = 50  # what a list of n keys costs the embedded store grows with n²
_FIREWORK = dict.fromkeys(("fw_id", "name", "state", "launches", "updated_on", "spec.search_id"), 1)
_STACKTRACE = "action.stored_data._exception._stacktrace"
_LAUNCH = dict.fromkeys(
    ("launch_id", "fw_id", "state", "fworker.name", "host", "state_history", _STACKTRACE), 1
)
# How the driver, and Pyrite in its place, say that no database answers.
_OUTAGE = re.compile(
    r"^(pymongo\.errors\.(AutoReconnect|ConnectionFailure|NetworkTimeout|NotPrimaryError"
    r"|ServerSelectionTimeoutError)|pyrite\.errors\.StoreAway): ",
    re.MULTILINE,
)


@dataclass(frozen=True)
class LaunchView:
    """What matters of a launch: its state, who runs it and where, when it last was heard of,
    the batch job that it was reserved for, and whether it failed for want of a database."""

    launch_id: int
    state: str
    worker: str
    pinged: datetime | None
    host: str = ""
    job: str | None = None
    outage: bool = False

    def silent_for(self) -> float:
        """Seconds since the last ping; infinity for a launch that never gave one."""
        if self.pinged is None:
            return float("inf")
        return (datetime.now(UTC) - self.pinged).total_seconds()


@dataclass(frozen=True)
class FireworkView:
    """What matters of a firework: ``launch`` is its last one that is not archived."""

    fw_id: int
    name: str
    state: str
    updated_on: str
    launch: LaunchView | None


@dataclass(frozen=True)
class Snapshot:
    """A search's bookkeeping at one moment; without workflows before it was added."""

    fireworks: Mapping[int, FireworkView]
    workflows: Sequence[Mapping[str, Any]] = ()

    @property
    def locked(self) -> bool:
        """Whether somebody is changing, or died changing, a workflow."""
        return any("locked" in workflow for workflow in self.workflows)

    @property
    def is_complete(self) -> bool:
        """Whether every firework that the workflows list has completed.

        FireWorks writes added fireworks before the workflow that lists them; only the
        workflow's own view, which is one document, is never half of an addition. And the
        last task of an iteration adds the next one before it has completed itself.
        """
        states = self._states.values()
        done = bool(states) and all(state == "COMPLETED" for state in states)
        return done and not self.locked

    @cached_property
    def members(self) -> list[FireworkView]:
        """The fireworks that belong to the workflows."""
        nodes = {node for workflow in self.workflows for node in workflow["nodes"]}
        return [firework for fw_id, firework in self.fireworks.items() if fw_id in nodes]

    def state_in_workflow(self, fw_id: int) -> str | None:
        """The state of a firework as its workflow has it, which may lag behind."""
        return self._states.get(fw_id)

    def parents(self, fw_id: int) -> list[int]:
        """The fireworks that one has to wait for."""
        return self._parents.get(fw_id, [])

    def in_state(self, *states: str) -> list[FireworkView]:
        """Members in one of the given states."""
        return [firework for firework in self.members if firework.state in states]

    @cached_property
    def _states(self) -> dict[int, str]:
        return {
            int(node): str(state)
            for workflow in self.workflows
            for node, state in workflow.get("fw_states", {}).items()
        }

    @cached_property
    def _parents(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for workflow in self.workflows:
            for parent, children in workflow["links"].items():
                for child in children:
                    found.setdefault(child, []).append(int(parent))
        return found


def snapshot(launchpad: LaunchPad, search: str) -> Snapshot:
    """Read everything of a search: workflows last, so that no addition looks like an orphan."""
    fireworks = list(launchpad.fireworks.find({"spec.search_id": search}, _FIREWORK))
    workflows = list(launchpad.workflows.find({"metadata.search_id": search}))
    return _snapshot(launchpad, fireworks, workflows)


def unfinished(launchpad: LaunchPad, search: str) -> Snapshot:
    """Read what is not completed of a search; if all of it is, its last workflow.

    What this costs does not depend on what has been completed: whatever is looked for, an
    index leads to (:mod:`pyrite.counters` makes them).
    """
    open_states = {"$in": list(UNFINISHED)}
    found = launchpad.fireworks.find({"spec.search_id": search, "state": open_states}, _FIREWORK)
    fireworks = {firework["fw_id"]: firework for firework in found}
    mine = {"metadata.search_id": search}
    workflows = {
        workflow["_id"]: workflow
        for query in ({**mine, "state": open_states}, {"locked": True, **mine})
        for workflow in launchpad.workflows.find(query)
    }
    if not workflows:
        # One that was added meanwhile is the last one.
        latest = launchpad.workflows.find_one(mine, sort=[("metadata.iteration", -1)])
        workflows = {} if latest is None else {latest["_id"]: latest}
    listed = {node for workflow in workflows.values() for node in workflow["nodes"]}
    # A firework that was set back by somebody who died has a workflow that is COMPLETED.
    for workflow in _among(launchpad.workflows, "nodes", sorted(set(fireworks) - listed)):
        if workflow["metadata"].get("search_id") == search:
            workflows[workflow["_id"]] = workflow
            listed.update(workflow["nodes"])
    for firework in _among(
        launchpad.fireworks, "fw_id", sorted(listed - set(fireworks)), _FIREWORK
    ):
        fireworks[firework["fw_id"]] = firework
    return _snapshot(launchpad, list(fireworks.values()), list(workflows.values()))


def strays(launchpad: LaunchPad, search: str) -> list[tuple[int, LaunchView]]:
    """Launches under way that their fireworks do not name, or no longer: with the fireworks' ids.

    Those of fireworks that have completed are among them, however long ago.
    """
    under_way = list(launchpad.launches.find({"state": {"$in": ["RESERVED", "RUNNING"]}}, _LAUNCH))
    of_fireworks = sorted({launch["fw_id"] for launch in under_way})
    last = {
        firework["fw_id"]: firework.get("launches", [])[-1:]
        for firework in _among(launchpad.fireworks, "fw_id", of_fireworks, _FIREWORK)
        if firework["spec"].get("search_id") == search
    }
    return [
        (launch["fw_id"], _launch_view(launch))
        for launch in under_way
        if launch["launch_id"] not in last.get(launch["fw_id"], [launch["launch_id"]])
    ]


def is_added(launchpad: LaunchPad, search: str) -> bool:
    """Whether a search has a workflow."""
    return launchpad.workflows.find_one({"metadata.search_id": search}, {"_id": 1}) is not None


def _snapshot(
    launchpad: LaunchPad,
    fireworks: Sequence[Mapping[str, Any]],
    workflows: Sequence[Mapping[str, Any]],
) -> Snapshot:
    last = sorted(firework["launches"][-1] for firework in fireworks if firework.get("launches"))
    launches = {
        launch["launch_id"]: _launch_view(launch)
        for launch in _among(launchpad.launches, "launch_id", last, _LAUNCH)
    }
    views = {
        firework["fw_id"]: FireworkView(
            firework["fw_id"],
            firework.get("name", ""),
            firework["state"],
            str(firework.get("updated_on")),
            launches.get(firework["launches"][-1]) if firework.get("launches") else None,
        )
        for firework in sorted(fireworks, key=lambda firework: int(firework["fw_id"]))
    }
    return Snapshot(views, workflows)


def _among(
    collection: Any, key: str, values: Sequence[int], fields: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """Documents by their keys, some at a time."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(values), _AT_A_TIME):
        found += collection.find({key: {"$in": values[start : start + _AT_A_TIME]}}, fields)
    return found


def _launch_view(launch: Mapping[str, Any]) -> LaunchView:
    history = launch.get("state_history") or [{}]
    pinged = history[-1].get("updated_on") or history[-1].get("created_on")
    if isinstance(pinged, str):
        pinged = datetime.fromisoformat(pinged)
    if isinstance(pinged, datetime) and pinged.tzinfo is None:
        pinged = pinged.replace(tzinfo=UTC)
    worker = (launch.get("fworker") or {}).get("name", "")
    job = next((one["reservation_id"] for one in history if one.get("reservation_id")), None)
    host = str(launch.get("host", ""))
    job = None if job is None else str(job)
    outage = launch["state"] == "FIZZLED" and bool(_OUTAGE.search(_traceback(launch)))
    return LaunchView(launch["launch_id"], launch["state"], worker, pinged, host, job, outage)


def stacktrace(launchpad: LaunchPad, firework: FireworkView) -> str:
    """The traceback with which the last run of a firework failed; empty if there is none."""
    if firework.launch is None:
        return ""
    found = launchpad.launches.find_one({"launch_id": firework.launch.launch_id}, {_STACKTRACE: 1})
    return _traceback(found or {})


def _traceback(launch: Mapping[str, Any]) -> str:
    stored = (launch.get("action") or {}).get("stored_data") or {}
    return str((stored.get("_exception") or {}).get("_stacktrace", ""))
