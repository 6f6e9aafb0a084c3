"""What the dashboard asks of a store: parts, samples, and nothing twice."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.integration.dashboard_searches import (
    DONE,
    EMPTY,
    FAILED,
    POOL,
    RUNNING,
    fill,
    relaxations,
)

from pyrite.dashboard.queries.costs import costs
from pyrite.dashboard.queries.fireworks import flow
from pyrite.dashboard.queries.learning import learning_curve, parity
from pyrite.dashboard.queries.loop import loop
from pyrite.dashboard.queries.pool import REST, outcomes, pool, sample_names
from pyrite.dashboard.queries.structures import crystals, entry
from pyrite.dashboard.source import Source
from pyrite.documents import Role, SearchState, StopReason
from pyrite.errors import StoreError
from pyrite.launchers import steering
from pyrite.launchers.session import Session
from pyrite.views import Following, Views

if TYPE_CHECKING:
    from pathlib import Path

    from fireworks import LaunchPad

    from pyrite.store import Store


@pytest.fixture
def views(store: "Store", launchpad: "LaunchPad") -> Views:
    fill(store, launchpad)
    return Views(store)


def test_progress_is_that_of_the_store(views: Views) -> None:
    for name in (DONE, RUNNING, FAILED, EMPTY):
        assert views.progress(name) == views.store.progress(name)


def test_who_follows_a_search_reads_its_past_once(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = {name: Following(views, name) for name in (DONE, RUNNING, FAILED, EMPTY)}
    for name, one in following.items():
        assert one.progress() == views.store.progress(name)
    asked: list[object] = []
    find = Views._find

    def watched(self: Views, collection: str, query: dict[str, object], *rest: object) -> object:
        asked.append(query.get("iteration"))
        return find(self, collection, query, *rest)

    monkeypatch.setattr(Views, "_find", watched)
    assert following[DONE].progress() == views.store.progress(DONE)
    assert {0, 1}.isdisjoint(asked)
    last = views.store.iteration(DONE, 2)
    views.store.put_iteration(last.model_copy(update={"iteration": 3, "convergence": None}))
    assert following[DONE].progress() == views.store.progress(DONE)


def test_the_size_of_a_pool_is_found_without_reading_it(views: Views) -> None:
    assert views.pool_size(DONE) == POOL
    assert views.pool_size(DONE, Role.TARGET) == 0
    assert views.pool_size(EMPTY) == 0


def test_the_loop_tells_both_energies(views: Views) -> None:
    found = loop(views, DONE)
    assert [one.number for one in found.cycles] == [0, 1, 2]
    assert found.cycles[1].top == pytest.approx((-3.41, -3.25))
    assert found.cycles[0].reference == pytest.approx(-3.39)
    assert found.ended_by == "convergence"
    assert [energy for _, energy in found.validated] == pytest.approx([-3.4, -3.38])
    assert loop(views, EMPTY).cycles == ()


def test_costs_are_those_of_the_ledger(views: Views) -> None:
    found = costs(views, DONE)
    assert found.labels == {0: 8, 1: 8, 2: 8}
    assert found.failed == {0: 1, 1: 1, 2: 1}
    assert found.calls == {0: 8, 1: 8, 2: 10}
    assert found.of_kind("training") == 3 * 2 * 60.0
    assert found.of_kind("relaxation") == 3 * 2 * 30.0
    assert found.of_kind("validation") == 4.0
    assert found.problems == (("SCF did not converge", 3),)


def test_labels_meet_what_was_said_of_them_before(views: Views) -> None:
    found = parity(views, DONE)
    assert len(found.energy) == 14  # of iterations 1 and 2, without two that failed
    assert found.unpredicted == 7  # of iteration 0
    first = found.energy.reference.argmin()
    assert found.energy.reference[first] == pytest.approx(-3.39)
    assert found.energy.predicted[first] == pytest.approx(-3.4)
    assert found.energy.spread[first] == pytest.approx(0.01)
    assert len(found.force) == 14 * 8 * 3
    along_x = np.arange(len(found.force)) % 3 == 0
    assert found.force.predicted[along_x] == pytest.approx(0.9 * found.force.reference[along_x])
    assert set(found.force.spread[along_x]) == {0.005}
    assert set(found.force.iteration) == {1, 2}
    assert [one.labels for one in learning_curve(views, DONE)] == [8, 8, 16, 16, 24, 24]
    nothing = parity(views, EMPTY)
    assert (len(nothing.energy), len(nothing.force), nothing.unpredicted) == (0, 0, 0)


def test_a_small_pool_is_shown_whole(views: Views) -> None:
    found = pool(views, DONE, 1)
    assert (found.shown, found.broken, found.relaxed, found.everything) == (23, 1, 24, True)
    assert [(found.cluster == number).sum() for number in (0, 1, REST)] == [8, 4, 11]
    assert min(np.array(found.ids)[found.selected]) == "c00002"
    assert found.volume[0] == pytest.approx(5.6**3 / 8)
    assert found.volume_before[0] == pytest.approx(5.62**3 / 8)
    assert np.isnan(pool(views, DONE, 0).energy_before).all()


def test_of_a_large_pool_a_sample_is_shown_with_all_that_matters(views: Views) -> None:
    found = pool(views, DONE, 2, limit=5)
    chosen = {f"c{index:05d}" for index in range(4, 12)}
    assert not found.everything
    assert found.relaxed == POOL
    assert {"c00000", "c00008"} | chosen <= set(found.ids)
    assert sample_names(views, DONE, 4, larger=True) == ["c00000", "c00006", "c00012", "c00018"]
    assert found.shown < 16


def test_outcomes_are_those_that_shards_have_noted(views: Views) -> None:
    found = outcomes(views, DONE)
    assert [one.iteration for one in found] == [0, 1, 2]
    for one in found:
        counted = Counter(record.stop for record in relaxations(DONE, one.iteration))
        assert one.counts == {stop: counted[stop] for stop in StopReason}
    assert outcomes(views, EMPTY) == []


def test_crystals_are_ranked_by_the_reference_or_by_the_networks(views: Views) -> None:
    assert [one.key for one in crystals(views, DONE).entries] == ["rank-1", "rank-2"]
    running = crystals(views, RUNNING)
    assert (running.ranked, running.iteration) == (False, 0)
    assert running.entries[0].key == "iteration-0-top-1"
    assert running.entries[0].symbol == "Fm-3m"
    assert crystals(views, EMPTY).entries == ()
    assert entry(views, DONE, "iteration-1-top-2").above == pytest.approx(160)
    with pytest.raises(StoreError, match="no crystal called rank-9"):
        entry(views, DONE, "rank-9")


def test_the_workflow_is_gathered_by_task_and_iteration(views: Views) -> None:
    found = flow(views, FAILED)
    (failed,) = found.in_state("FIZZLED")
    assert (failed.kind, failed.iteration) == ("generate", 0)
    assert failed.seconds is not None
    assert "EngineError" in views.stacktrace(failed.launch_id or 0)
    assert (("train", 0), ("relax", 0)) in found.links
    assert flow(views, EMPTY).tasks == ()


def test_nothing_is_read_twice_until_something_changes(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(views.store)
    asked: list[str] = []
    find = Views._find

    def watched(self: Views, collection: str, *rest: object) -> object:
        asked.append(collection)
        return find(self, collection, *rest)

    monkeypatch.setattr(Views, "_find", watched)
    pool(source.views(DONE), DONE, 1)
    assert "relaxations" in asked
    asked.clear()
    pool(source.views(DONE), DONE, 1)
    assert set(asked) <= {"iterations", "workflows"}  # the pulse
    views.store.put_labels([views.store.labels(RUNNING)[0].model_copy(update={"iteration": 1})])
    before = source.pulse(DONE), source.pulse(RUNNING)
    views.store.set_state(RUNNING, SearchState.FAILED, error="x")
    assert source.pulse(DONE) == before[0]
    assert source.pulse(RUNNING) != before[1]


def test_the_dashboard_writes_nothing(views: Views) -> None:
    database = views.store.database

    def everything() -> str:
        return str([list(database[one].find()) for one in sorted(database.list_collection_names())])

    before = everything()
    source = Source(views.store)
    source.searches()
    for name in (DONE, RUNNING, FAILED, EMPTY):
        mine = source.views(name)
        for read in (loop, costs, parity, learning_curve, flow, crystals):
            read(mine, name)
    assert everything() == before


def test_a_search_is_steered(views: Views, launchpad: "LaunchPad", tmp_path: "Path") -> None:
    session = Session(tmp_path, launchpad, views.store, embedded=True)
    assert steering.rerun(session, RUNNING) == []
    assert len(steering.rerun(session, FAILED)) == 1
    assert views.store.get_search(FAILED).state is SearchState.RUNNING
    paused = steering.pause(session, FAILED)
    assert flow(views, FAILED).counts() == {"PAUSED": len(paused)}
    assert steering.pause(session, FAILED) == []
    assert sorted(steering.resume(session, FAILED)) == sorted(paused)
    counts = flow(views, FAILED).counts()
    assert (counts["READY"], counts["PAUSED"]) == (1, 0)
    with pytest.raises(StoreError, match="no search called nosuch"):
        steering.pause(session, "nosuch")
