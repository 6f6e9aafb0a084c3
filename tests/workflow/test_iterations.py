"""Iterations as workflows of their own: added once, and none dearer than the one before it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dummy_tasks import SEARCH, Note, firework
from fireworks import FWAction, FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import rapidfire
from mortality import Killed, empty, kill_before_write
from pymongo import monitoring

from benchmarks.overhead import NAME, PICKS, SETTINGS, write_past
from pyrite.config import SearchConfig
from pyrite.documents import Iteration
from pyrite.firetasks import loop
from pyrite.firetasks.check_convergence import CheckConvergence
from pyrite.launchers.bookkeeping import snapshot, unfinished
from pyrite.point_writes import use_point_writes
from pyrite.store import Store
from pyrite.views import Following, Views

COLLECTIONS = {"fireworks", "launches", "workflows"}
UNIQUE = {"fw_id", "launch_id", "nodes", "_id", "launches", "name"}


def two_tasks(directory: Path) -> Workflow:
    first = firework(Note, "first", directory)
    second = firework(Note, "second", directory, [first])
    return Workflow([first, second], metadata={"search_id": SEARCH})


def states(launchpad: LaunchPad) -> dict[str, str]:
    return {one.name: one.state for one in snapshot(launchpad, SEARCH).members}


def test_adding_may_die_before_any_of_its_writes(launchpad, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for writes in itertools.count():
        empty(launchpad)
        survived = True
        for _ in kill_before_write(launchpad, writes):
            try:
                loop.add_once(launchpad, two_tasks(tmp_path), "mine")
            except Killed:
                survived = False
        loop.add_once(launchpad, two_tasks(tmp_path), "mine")
        assert states(launchpad) == {"first": "READY", "second": "WAITING"}, writes
        assert launchpad.workflows.count_documents({}) == 1
        assert launchpad.fireworks.count_documents({}) == 2
        rapidfire(launchpad, FWorker(), nlaunches=0, strm_lvl="ERROR")
        assert states(launchpad) == dict.fromkeys(("first", "second"), "COMPLETED"), writes
        if survived:
            break
    assert writes > 2


def test_of_two_that_add_at_once_the_first_wins(launchpad, tmp_path) -> None:
    """The second has looked before the first had written."""

    class LooksTooEarly:
        def __init__(self, collection: Any) -> None:
            self.collection, self.looks = collection, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.collection, name)

        def find_one(self, *query: Any) -> Any:
            self.looks += 1
            return None if self.looks == 1 else self.collection.find_one(*query)

    loop.add_once(launchpad, two_tasks(tmp_path), "mine")
    before = [*launchpad.workflows.find(), *launchpad.fireworks.find()]
    workflows = launchpad.workflows
    launchpad.workflows = LooksTooEarly(workflows)
    loop.add_once(launchpad, two_tasks(tmp_path), "mine")
    launchpad.workflows = workflows
    assert [*launchpad.workflows.find(), *launchpad.fireworks.find()] == before


# ------------------------------------------------------------------ a search


@pytest.fixture
def store(launchpad: LaunchPad) -> Iterator[Store]:
    store = Store.from_launchpad(launchpad)
    yield store
    if NAME in {one.search_id for one in store.list_searches()}:
        store.remove_search(NAME)


def config_of(labels_per_task: int = 1) -> SearchConfig:
    return SearchConfig(**SETTINGS, execution={"labels_per_task": labels_per_task})


@pytest.fixture
def task(launchpad: LaunchPad, store: Store) -> CheckConvergence:
    """The last task of the first iteration, as a worker would run it."""
    past = write_past(launchpad, store, config_of(30), 1)
    assert past.iterations == 1
    empty(launchpad)
    check = CheckConvergence(search_id=NAME, iteration=0)
    check.launchpad, check.fw_id = launchpad, 10**6
    launchpad.fireworks.insert_one({"fw_id": check.fw_id, "state": "RUNNING"})
    launchpad.workflows.insert_one({"nodes": [check.fw_id], "links": {}, "name": "", **TIMES})
    return check


TIMES: dict[str, Any] = {"metadata": {}, "created_on": None, "updated_on": None}


@pytest.fixture
def following(task: CheckConvergence) -> Iteration:
    return task.store.iteration(NAME, 1)


def test_what_is_missing_of_an_iteration_is_added(task, following) -> None:
    assert not loop.is_added(task, 1)
    loop.iteration(task, following)
    whole = snapshot(task.launchpad, NAME)
    assert len(whole.members) == len(whole.fireworks) > 2
    assert whole.workflows[0]["metadata"] == {"search_id": NAME, "iteration": 1}
    task.launchpad.fireworks.delete_many({"fw_id": {"$in": list(whole.fireworks)[-2:]}})
    assert loop.is_added(task, 1)
    assert snapshot(task.launchpad, NAME).fireworks.keys() == whole.fireworks.keys()


@pytest.mark.parametrize("state", ["DEFUSED", "ARCHIVED"])
def test_a_search_that_was_stopped_meanwhile_adds_nothing(task, following, state) -> None:
    task.launchpad.fireworks.update_one({"fw_id": task.fw_id}, {"$set": {"state": state}})
    loop.iteration(task, following)
    assert not loop.is_added(task, 1)
    assert snapshot(task.launchpad, NAME).fireworks == {}
    task.launchpad.fireworks.update_one({"fw_id": task.fw_id}, {"$set": {"state": "RUNNING"}})
    loop.iteration(task, following)
    assert loop.is_added(task, 1)


# ------------------------------------------------------------------ costs


@dataclass
class Asked(monitoring.CommandListener):
    """All commands on FireWorks' collections, and the bytes of all."""

    commands: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    size: int = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.size += len(str(event.command))
        if event.command.get(event.command_name) in COLLECTIONS:
            self.commands.append((event.command_name, dict(event.command)))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self.size += len(str(event.reply))

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    def queries(self) -> Iterator[dict[str, Any]]:
        for name, command in self.commands:
            if name == "find":
                yield command["filter"]
            elif name == "aggregate":
                yield command["pipeline"][0]["$match"]
            else:
                yield from (one["q"] for one in command.get("updates", ()))


def watched(launchpad: LaunchPad) -> tuple[LaunchPad, Asked]:
    asked = Asked()
    options = {"event_listeners": [asked]}
    other = LaunchPad(
        host=launchpad.host,
        name=launchpad.name,
        uri_mode=True,
        mongoclient_kwargs=options,
        strm_lvl="ERROR",
    )
    use_point_writes(other)
    return other, asked


def cost(launchpad: LaunchPad, store: Store, fireworks: int) -> tuple[int, int, Asked]:
    """Commands and bytes of one firework and of one look, after so many fireworks."""
    empty(launchpad)
    write_past(launchpad, store, config_of(), fireworks)
    other, asked = watched(launchpad)
    worker = FWorker(name="w", query={"spec.search_id": NAME})
    following = Following(Views(Store.from_launchpad(other)), NAME)
    following.progress()
    asked.commands.clear()
    asked.size = 0
    assert other.run_exists(worker)
    _, launch = other.checkout_fw(worker, "/nowhere")
    other.ping_launch(launch)
    other.complete_launch(launch, FWAction())
    seen = unfinished(other, NAME)
    assert len(seen.members) > PICKS
    assert len(seen.in_state("COMPLETED")) == 1
    assert following.progress().iteration is not None
    other.connection.close()
    store.remove_search(NAME)
    return len(asked.commands), asked.size, asked


def test_a_firework_costs_the_same_however_many_there_were(launchpad, store) -> None:
    few, little, _ = cost(launchpad, store, 1)
    many, much, asked = cost(launchpad, store, 400)
    assert many == few
    assert much < 1.05 * little
    # What the embedded store would read a whole collection for.
    assert not [name for name, _ in asked.commands if name == "findAndModify"]
    for query in asked.queries():
        fields = list(query)
        by_search = {"spec.search_id", "metadata.search_id"} & query.keys() and (
            {"state", "locked"} & query.keys()
        )
        assert fields[0] in UNIQUE or by_search, query
        assert not [name for name in fields if name.startswith("$")], query
