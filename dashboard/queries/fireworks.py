"""The dynamic workflow of a search, gathered by task and iteration."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pyrite.views import Views

TASKS = {
    "generate": "generate pool",
    "label": "label",
    "train": "train",
    "relax": "relax pool",
    "select": "cluster, select",
    "converge": "converged?",
    "validate": "validate",
    "rank": "rank",
}
"""First words of the fireworks' names, in the order in which a search runs them."""

STATES = (
    *("COMPLETED", "RUNNING", "RESERVED", "READY", "WAITING"),
    *("PAUSED", "DEFUSED", "ARCHIVED", "FIZZLED"),
)
UNDER_WAY = frozenset({"RUNNING", "RESERVED"})
SHELVED = frozenset({"PAUSED", "DEFUSED"})


@dataclass(frozen=True)
class Task:
    """One firework; times in seconds since the epoch, None where there is none."""

    fw_id: int
    name: str
    kind: str
    iteration: int
    state: str
    launch_id: int | None = None
    worker: str = ""
    directory: str = ""
    started: float | None = None
    ended: float | None = None
    heard: float | None = None

    def going(self, now: float) -> float | None:
        """How long it has been at work, seconds; None where it is not."""
        if self.state not in UNDER_WAY or self.started is None:
            return None
        return max(now - self.started, 0.0)

    @property
    def seconds(self) -> float | None:
        """How long its last run took; None before its end."""
        if self.started is None or self.ended is None:
            return None
        return self.ended - self.started


@dataclass(frozen=True)
class Flow:
    """All fireworks of a search; ``links`` lead from (task, iteration) to (task, iteration)."""

    tasks: tuple[Task, ...] = ()
    links: frozenset[tuple[tuple[str, int], tuple[str, int]]] = field(default_factory=frozenset)

    def in_state(self, *states: str) -> list[Task]:
        """Fireworks in one of the given states."""
        return [one for one in self.tasks if one.state in states]

    def counts(self) -> Counter[str]:
        """Fireworks by state."""
        return Counter(one.state for one in self.tasks)

    def at(self, kind: str, iteration: int) -> list[Task]:
        """Fireworks of one task and iteration."""
        return [one for one in self.tasks if (one.kind, one.iteration) == (kind, iteration)]

    @property
    def last_sign(self) -> float | None:
        """When a task was last heard of, seconds since the epoch."""
        times = [one.heard for one in self.tasks if one.heard is not None]
        return max(times, default=None)

    def pace(self) -> float | None:
        """Seconds that an iteration takes: the median of the last three."""
        ends: dict[int, float] = {}
        for one in self.tasks:
            if one.kind == "converge" and one.state == "COMPLETED" and one.ended is not None:
                ends[one.iteration] = one.ended
        starts = [one.started for one in self.tasks if one.started is not None]
        if not ends or not starts:
            return None
        marks = [min(starts), *(ends[k] for k in sorted(ends))]
        lengths = sorted([b - a for a, b in pairwise(marks)][-3:])
        return lengths[len(lengths) // 2]


def flow(views: Views, search_id: str) -> Flow:
    """Read the workflows of a search; empty before it was added."""
    workflows = views.workflows(search_id)
    fireworks = views.fireworks([node for workflow in workflows for node in workflow["nodes"]])
    last = [one["launches"][-1] for one in fireworks if one.get("launches")]
    launches = {one["launch_id"]: one for one in views.launches(last)}
    tasks = {
        int(one["fw_id"]): _task(one, launches.get((one.get("launches") or [None])[-1]))
        for one in fireworks
    }
    links = set()
    for workflow in workflows:
        for parent, children in (workflow.get("links") or {}).items():
            for child in children:
                if int(parent) in tasks and int(child) in tasks:
                    one, other = tasks[int(parent)], tasks[int(child)]
                    links.add(((one.kind, one.iteration), (other.kind, other.iteration)))
    links |= set(_between_iterations({(one.kind, one.iteration) for one in tasks.values()}))
    order = sorted(tasks.values(), key=lambda one: (one.iteration, _place(one.kind), one.name))
    return Flow(tuple(order), frozenset(links))


def _between_iterations(
    there: Set[tuple[str, int]],
) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Which task has added which iteration: FireWorks does not link workflows.

    An iteration begins with its labels, or with the training where nothing was left to label.
    """
    for kind, k in there:
        first = kind == "label" or (kind == "train" and ("label", k) not in there)
        if first and k > 0:
            added_by = ("rank", k - 1) if ("rank", k - 1) in there else ("converge", k - 1)
            yield added_by, (kind, k)


def remedy(trace: str, recorded: str | None) -> str:
    """What to do about a failed task: what Pyrite said on purpose, else where to look."""
    last = next((line for line in reversed(trace.splitlines()) if line.strip()), "")
    meant = re.match(r"pyrite\.errors\.\w+: (.*)", last)
    if meant:
        return recorded or meant.group(1)
    said = last or recorded or "It left no reason."
    return (
        f"{said} This is not an error that Pyrite expects: look into the lines below and the "
        "worker's log, mend the cause, and run the task again."
    )


def last_lines(text: str, number: int = 15) -> str:
    """The end of a log."""
    return "\n".join(text.rstrip().splitlines()[-number:])


def _place(kind: str) -> int:
    names: Sequence[str] = tuple(TASKS)
    return names.index(kind) if kind in names else len(names)


def _task(firework: dict[str, Any], launch: dict[str, Any] | None) -> Task:
    name = str(firework.get("name", ""))
    known = launch or {}
    history = known.get("state_history") or [{}]
    spec = firework.get("spec") or {}
    return Task(
        fw_id=int(firework["fw_id"]),
        name=name,
        kind=name.partition(" ")[0],
        iteration=int(spec.get("iteration", 0)),
        state=str(firework["state"]),
        launch_id=known.get("launch_id"),
        worker=str((known.get("fworker") or {}).get("name", "")),
        directory=str(known.get("launch_dir") or ""),
        started=_seconds(known.get("time_start")),
        ended=_seconds(known.get("time_end")),
        heard=_seconds(history[-1].get("updated_on") or history[-1].get("created_on")),
    )


def _seconds(value: object) -> float | None:
    """A time of FireWorks', which is UTC, in seconds since the epoch."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
