"""Shards of the pool: who is in them, and that they can be left and taken up again."""

import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.builders import caesium_chloride, random_crystal, rocksalt, zincblende
from tests.unit.stand_in import settings

from pyrite.config import RelaxationConfig, SearchConfig
from pyrite.documents import (
    Candidate,
    Crystal,
    Label,
    Origin,
    Relaxation,
    Role,
    ShardCost,
    StopReason,
)
from pyrite.models import partition, shards
from pyrite.models.ensemble import Ensemble
from pyrite.models.ensemble_model import Prediction
from pyrite.models.relaxation import Relaxed
from pyrite.models.walltime import NO_DEADLINE, Deadline, OutOfTime


def pool(count: int, role: Role = Role.TRAIN) -> list[Candidate]:
    prefix = {Role.TRAIN: "c", Role.TARGET: "t"}[role]
    return [
        Candidate(
            search_id="test",
            candidate_id=f"{prefix}{k:05d}",
            role=role,
            origin=Origin.P1,
            crystal=random_crystal(k),
        )
        for k in range(count)
    ]


def prediction(energy: float = -3.0, spread: float = 0.01) -> Prediction:
    return Prediction(
        energy=energy, energy_spread=spread, fmax=0.04, uncertainty=0.1, descriptor=(1.0,)
    )


class Relaxer:
    """Stands for `relax` and `predict`: notes what they get, moves nothing."""

    def __init__(self) -> None:
        self.starts: list[Crystal] = []
        self.predicted: list[Crystal] = []
        self.spreads: dict[Crystal, float] = {}

    def relax(self, crystals: Sequence[Crystal], *arguments: Any) -> None:
        self.starts += crystals
        after_step = arguments[-1]
        for index, crystal in enumerate(crystals):
            after_step([])
            after_step([(index, Relaxed(StopReason.CONVERGED, 2, crystal, prediction()))])

    def predict(self, crystals: Sequence[Crystal], *_: object) -> list[Prediction]:
        self.predicted += crystals
        return [prediction(-2.5, self.spreads.get(one, 0.01)) for one in crystals]


@pytest.fixture
def relaxer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relaxer]:
    one = Relaxer()
    monkeypatch.setattr(shards, "relax", one.relax)
    monkeypatch.setattr(shards, "predict", one.predict)
    return one


NO_ENSEMBLE: Any = SimpleNamespace()


class Kept:
    """What a shard hands on."""

    def __init__(self) -> None:
        self.records: list[Relaxation] = []
        self.costs: list[ShardCost] = []

    def __call__(self, records: Sequence[Relaxation], cost: ShardCost) -> None:
        self.records += records
        self.costs.append(cost)


def relaxed(
    config: SearchConfig, shard: shards.Shard, deadline: Deadline = NO_DEADLINE
) -> tuple[list[Relaxation], ShardCost]:
    kept = Kept()
    shards.relax_shard(config, NO_ENSEMBLE, shard, kept, deadline)
    return kept.records, kept.costs[-1]


@pytest.mark.parametrize("per_task", [1, 5, 100])
def test_shards_cover_the_pool_and_the_anchors_exactly_once(
    relaxer: Relaxer, make_label: Callable[..., Label], per_task: int
) -> None:
    config = settings(
        pool={"size": 7},
        target={"composition": "Na2Cl2", "pool": {"size": 3}},
        relaxation={"anchors": 2},
        execution={"candidates_per_task": per_task},
    )
    candidates = pool(7) + pool(3, Role.TARGET)
    labels = [
        make_label(candidate_id, crystal=crystal, energy=energy)
        for candidate_id, crystal, energy in (
            ("c00001", rocksalt(), -7.0),
            ("c00002", caesium_chloride(), -6.9),
            ("c00003", zincblende(), -6.8),
        )
    ]
    by_name = {one.candidate_id: one for one in candidates}
    done: list[Relaxation] = []
    for shard in range(partition.shards(config, larger=True)):
        names, anchored = shards.shard_names(config, shard, list(by_name), labels, larger=True)
        mine = [*(by_name[name] for name in names), *anchored]
        records, cost = relaxed(config, shards.Shard("test", 4, shard, mine))
        assert (cost.search_id, cost.iteration, cost.shard) == ("test", 4, shard)
        assert cost.finished
        assert (cost.candidates, cost.steps) == (len(records), 2 * len(records))
        assert cost.outcomes == {StopReason.CONVERGED: len(records)}
        assert len(records) <= per_task
        done += records
    wanted = [one.candidate_id for one in candidates] + ["a00-c00001", "a00-c00002"]
    assert sorted(one.candidate_id for one in done) == sorted(wanted)
    crystals = {one.candidate_id: one.crystal for one in candidates}
    roles = {one.candidate_id: one.role for one in candidates}
    for one in done:
        assert one.iteration == 4
        assert one.role is roles.get(one.candidate_id, Role.TRAIN)
        if one.candidate_id in crystals:
            assert one.crystal == crystals[one.candidate_id], "candidates were mixed up"
        assert one.previous_crystal is None


def test_larger_cells_that_wait_are_in_no_shard() -> None:
    config = settings(
        pool={"size": 7},
        target={"composition": "Na2Cl2", "pool": {"size": 30}},
        relaxation={"anchors": 0},
        execution={"candidates_per_task": 4},
    )
    everybody = [one.candidate_id for one in pool(7) + pool(30, Role.TARGET)]
    count = partition.shards(config, larger=False)
    assert count == 2
    found = [
        name
        for shard in range(count)
        for name in shards.shard_names(config, shard, everybody, [], larger=False)[0]
    ]
    assert sorted(found) == everybody[:7]
    beyond = shards.shard_names(config, count, everybody, [], larger=False)
    assert beyond == ([], []), "of a workflow that was made for all"


@pytest.mark.parametrize(("limit", "used"), [(None, math.inf), (0.7, 0.7)])
def test_larger_cells_are_not_stopped_where_nothing_would_be_learnt(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, used: float
) -> None:
    limits: dict[tuple[Crystal, ...], float] = {}

    def relax(
        crystals: Sequence[Crystal], _ensemble: Ensemble, how: RelaxationConfig, *_rest: Any
    ) -> None:
        limits[tuple(crystals)] = how.max_relative_uncertainty

    monkeypatch.setattr(shards, "relax", relax)
    target = {"composition": "Na4Cl4", "max_relative_uncertainty": limit}
    config = settings(target=target)
    small, large = pool(2), pool(3, Role.TARGET)
    mine = [large[0], *small, *large[1:]]
    ensemble = cast(Ensemble, None)
    shards.relax_shard(config, ensemble, shards.Shard("test", 0, 0, mine), lambda *_: None)
    assert limits == {
        tuple(one.crystal for one in small): config.relaxation.max_relative_uncertainty,
        tuple(one.crystal for one in large): used,
    }


def test_a_shard_asks_for_its_own_past_and_that_of_all_anchors(
    make_label: Callable[..., Label],
) -> None:
    config = settings(relaxation={"anchors": 2})
    labels = [
        make_label("c00001", crystal=rocksalt(), energy=-7.0),
        make_label("c00002", crystal=zincblende(), energy=-6.9, iteration=1),
    ]
    before = shards.names_before(config, 1, pool(2), labels)
    assert before == {"c00000", "c00001", "a00-c00001"}, "anchors of iteration 0 only"


@pytest.mark.parametrize("start_from", ["first", "last"])
def test_relaxations_start_where_they_should_and_broken_ones_are_no_past(
    relaxer: Relaxer, make_relaxation: Callable[..., Relaxation], start_from: str
) -> None:
    config = settings(pool={"size": 3}, relaxation={"start_from": start_from, "anchors": 0})
    candidates = pool(3)
    moved = [rocksalt(5.0 + k) for k in range(3)]
    previous = [
        make_relaxation("c00000", crystal=moved[0]),
        make_relaxation("c00001", crystal=moved[1], stop=StopReason.EXPLODED),
    ]
    records, _ = relaxed(config, shards.Shard("test", 1, 0, candidates, previous))
    first = [one.crystal for one in candidates]
    expected = [moved[0], first[1], first[2]] if start_from == "last" else first
    assert relaxer.starts == expected
    assert relaxer.predicted == [moved[0]], "only what was intact is judged again"
    assert [one.previous_crystal for one in records] == [moved[0], None, None]
    assert [one.previous_energy for one in records] == [-2.5, None, None]
    assert [one.previous_descriptor for one in records] == [(1.0,), None, None]


@pytest.mark.parametrize(
    ("target", "small_start", "last"),
    [
        ({}, "first", True),
        ({"start_from": "first"}, "last", False),
        ({"join": "first"}, "first", False),
        ({"join": "first"}, "last", True),
        ({"join": "first", "start_from": "last"}, "first", True),
    ],
)
def test_where_larger_cells_begin(
    relaxer: Relaxer,
    make_relaxation: Callable[..., Relaxation],
    target: dict[str, str],
    small_start: str,
    last: bool,
) -> None:
    config = settings(
        target={"composition": "Na4Cl4", **target},
        relaxation={"anchors": 0, "start_from": small_start},
    )
    small, large = pool(1), pool(2, Role.TARGET)
    left = [rocksalt(5.0 + k) for k in range(2)]
    previous = [
        make_relaxation("c00000", crystal=left[0]),
        make_relaxation("t00000", crystal=left[1]),
    ]
    relaxed(config, shards.Shard("test", 1, 0, [*small, *large], previous))
    assert relaxer.starts == [
        left[0] if small_start == "last" else small[0].crystal,
        left[1] if last else large[0].crystal,
        large[1].crystal,
    ], "small and larger cells have settings of their own"


def test_where_the_new_networks_disagree_a_relaxation_begins_anew(
    relaxer: Relaxer, make_relaxation: Callable[..., Relaxation]
) -> None:
    config = settings(relaxation={"start_from": "last"}, convergence={"max_energy_spread": 0.1})
    candidates, left = pool(2), [rocksalt(5.0), rocksalt(6.0)]
    relaxer.spreads = {left[0]: 0.1, left[1]: 0.11}
    previous = [
        make_relaxation("c00000", crystal=left[0], energy_spread=0.2),  # of the networks before
        make_relaxation("c00001", crystal=left[1], energy_spread=0.01),
    ]
    relaxed(config, shards.Shard("test", 1, 0, candidates, previous))
    assert relaxer.starts == [left[0], candidates[1].crystal]


# ------------------------------------------------------------------ left and taken up again


class Countdown(Deadline):
    """Time for some more questions."""

    def __init__(self, questions: int) -> None:
        super().__init__(None)
        object.__setattr__(self, "left", questions)

    def require(self, seconds: float = 0.0) -> None:
        object.__setattr__(self, "left", self.left - 1)  # type: ignore[attr-defined]
        if self.left < 0:  # type: ignore[attr-defined]
            raise OutOfTime


@pytest.mark.usefixtures("relaxer")
def test_a_job_without_time_does_one_candidate_and_the_next_job_the_others() -> None:
    config, candidates = settings(pool={"size": 4}), pool(4)
    records: list[Relaxation] = []
    seconds = 0.0
    for job in range(4):
        kept = Kept()
        shard = shards.Shard("test", 1, 0, candidates, done=list(records), seconds=seconds)
        with pytest.raises(OutOfTime):
            shards.relax_shard(config, NO_ENSEMBLE, shard, kept, Countdown(0))
        assert [one.candidate_id for one in kept.records] == [f"c{job:05d}"]
        (cost,) = kept.costs
        assert (cost.candidates, cost.steps, cost.finished) == (job + 1, 2 * job + 2, False)
        assert cost.seconds > seconds
        records, seconds = records + kept.records, cost.seconds
    shard = shards.Shard("test", 1, 0, candidates, done=records, seconds=seconds)
    none, cost = relaxed(config, shard, Countdown(0))
    assert not none
    assert (cost.candidates, cost.steps, cost.finished) == (4, 8, True)
    whole, _ = relaxed(config, shards.Shard("test", 1, 0, candidates))
    assert records == whole
