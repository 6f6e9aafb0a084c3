"""The steps of the loop: what they decide, and that tasks share the work out exactly."""

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.builders import caesium_chloride, random_crystal, rocksalt, zincblende
from tests.unit.stand_in import Engine, pick, settings

from pyrite.config import SearchConfig
from pyrite.documents import (
    Candidate,
    Choice,
    Convergence,
    Crystal,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Origin,
    Relaxation,
    Role,
    StopReason,
)
from pyrite.errors import SearchFailed, TooManyFailedLabels
from pyrite.models import partition, steps
from pyrite.models.reference import StaticResult
from pyrite.models.relaxation import Prediction, Relaxed

# ------------------------------------------------------------------ labels


def test_a_failed_calculation_is_a_label_with_its_reason_and_cost() -> None:
    config = settings()
    engine = Engine(rocksalt())
    picks = [pick("c0", rocksalt()), pick("c1", zincblende()), pick("c2", rocksalt())]
    ok, failed, again = steps.label(config, "test", engine, 2, picks)
    assert (ok.status, failed.status, again.status) == ("ok", "failed", "ok")

    assert (ok.energy, ok.reason) == (-6.0, None)
    assert ok.forces == ((0.5, 0.5, 0.5),) * 2
    assert ok.stress == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert (ok.iteration, ok.candidate_id, ok.choice) == (2, "c0", Choice.SCORE)
    assert ok.crystal == rocksalt()
    assert ok.provenance.engine == "stand-in"
    assert ok.provenance.reference_calls == 3

    assert failed.reason == "no SCF after 60 cycles"
    assert (failed.energy, failed.forces, failed.stress) == (None, None, None)
    assert failed.provenance.reference_calls == 7
    assert failed.provenance.engine == config.reference.engine
    assert failed.crystal == zincblende()


def test_labels_come_one_at_a_time() -> None:
    asked: list[Crystal] = []

    class Diary(Engine):
        def static(self, crystal: Crystal) -> StaticResult:
            asked.append(crystal)
            return super().static(crystal)

    labels = steps.label(
        settings(), "test", Diary(rocksalt()), 0, [pick("c0", rocksalt()), pick("c1", rocksalt())]
    )
    next(labels)
    assert len(asked) == 1, "a label that is not saved yet must not wait for the next one"


@pytest.mark.parametrize(("failed", "enough"), [(0, True), (3, True), (4, False), (10, False)])
def test_a_search_stops_when_too_many_labels_failed(
    make_label: Callable[..., Label], failed: int, enough: bool
) -> None:
    config = settings(reference={"required_success": 0.7})
    status = [LabelStatus.FAILED] * failed + [LabelStatus.OK] * (10 - failed)
    labels = [
        make_label(f"c{k}", iteration=1, status=one, reason="no SCF")
        for k, one in enumerate(status)
    ]
    # Other iterations' failures have been judged before.
    labels += [
        make_label(f"c{k}", iteration=0, status=LabelStatus.FAILED, reason="old") for k in range(9)
    ]
    if enough:
        steps.require_success(config, labels, 1)
    else:
        with pytest.raises(TooManyFailedLabels, match=rf"{failed} of 10 .* iteration 1 .*no SCF"):
            steps.require_success(config, labels, 1)


def test_an_iteration_without_labels_has_not_failed() -> None:
    steps.require_success(settings(), [], 0)


# ------------------------------------------------------------------ sharing out


@pytest.mark.parametrize("items", [1, 7, 30, 31, 160])
@pytest.mark.parametrize("per_task", [1, 3, 30, 100])
def test_tasks_partition_everything_exactly_once(items: int, per_task: int) -> None:
    config = settings(
        surrogate={"members": min(items, 32) if items > 1 else 2},
        execution={"labels_per_task": per_task, "members_per_task": per_task},
    )
    members = config.surrogate.members
    for count, parts in (
        (items, partition.chunks(config, items)),
        (members, partition.parts(config)),
    ):
        shares = [partition.share(range(count), index, parts) for index in range(parts)]
        assert sorted(one for share in shares for one in share) == list(range(count))
        assert all(0 < len(share) <= per_task for share in shares)


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


def prediction(energy: float = -3.0) -> Prediction:
    return Prediction(
        energy=energy, energy_spread=0.01, fmax=0.04, uncertainty=0.1, descriptor=(1.0,)
    )


class Relaxer:
    """Stands for `relax` and `predict`: notes what they get, moves nothing."""

    def __init__(self) -> None:
        self.starts: list[Crystal] = []
        self.predicted: list[Crystal] = []

    def relax(self, crystals: Sequence[Crystal], *_: object) -> list[Relaxed]:
        self.starts += crystals
        return [
            Relaxed(stop=StopReason.CONVERGED, steps=2, crystal=crystal, prediction=prediction())
            for crystal in crystals
        ]

    def predict(self, crystals: Sequence[Crystal], *_: object) -> list[Prediction]:
        self.predicted += crystals
        return [prediction(-2.5) for _ in crystals]


@pytest.fixture
def relaxer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relaxer]:
    one = Relaxer()
    monkeypatch.setattr(steps, "relax", one.relax)
    monkeypatch.setattr(steps, "predict", one.predict)
    return one


NO_ENSEMBLE: Any = SimpleNamespace()


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
    for shard in range(partition.shards(config)):
        names, anchored = steps.shard_names(config, shard, list(by_name), labels)
        mine = [*(by_name[name] for name in names), *anchored]
        records, cost = steps.relax_shard(config, "test", 4, shard, NO_ENSEMBLE, mine, [])
        assert (cost.search_id, cost.iteration, cost.shard) == ("test", 4, shard)
        assert (cost.candidates, cost.steps) == (len(records), 2 * len(records))
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


def test_a_shard_asks_for_its_own_past_and_that_of_all_anchors(
    make_label: Callable[..., Label],
) -> None:
    config = settings(relaxation={"anchors": 2})
    labels = [
        make_label("c00001", crystal=rocksalt(), energy=-7.0),
        make_label("c00002", crystal=zincblende(), energy=-6.9, iteration=1),
    ]
    before = steps.names_before(config, 1, pool(2), labels)
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
    records, _ = steps.relax_shard(config, "test", 1, 0, NO_ENSEMBLE, candidates, previous)
    first = [one.crystal for one in candidates]
    expected = [moved[0], first[1], first[2]] if start_from == "last" else first
    assert relaxer.starts == expected
    assert relaxer.predicted == [moved[0]], "only what was intact is judged again"
    assert [one.previous_crystal for one in records] == [moved[0], None, None]
    assert [one.previous_energy for one in records] == [-2.5, None, None]
    assert [one.previous_descriptor for one in records] == [(1.0,), None, None]


# ------------------------------------------------------------------ the end of an iteration


def verdict(*, converged: bool) -> Convergence:
    return Convergence(converged=converged, agreeing=1, compared=1, reason="")


@pytest.mark.parametrize(
    ("number", "converged", "picks", "expected"),
    [
        (0, False, 1, None),
        (1, True, 1, EndedBy.CONVERGENCE),
        (1, True, 0, EndedBy.CONVERGENCE),
        (1, False, 0, EndedBy.NOTHING_TO_LABEL),
        (3, False, 1, None),
        (4, False, 1, EndedBy.MAX_ITERATIONS),
        (4, True, 1, EndedBy.CONVERGENCE),
    ],
)
def test_why_the_loop_ends(
    number: int, converged: bool, picks: int, expected: EndedBy | None
) -> None:
    config = settings(convergence={"max_iterations": 5, "min_iterations": 1})
    iteration = Iteration(
        search_id="test",
        iteration=number,
        picks=(),
        next_picks=tuple(pick(f"c{k}", rocksalt()) for k in range(picks)),
    )
    assert steps.ended_by(config, iteration, verdict(converged=converged)) is expected


def test_the_next_iteration_begins_with_the_picks_of_the_last() -> None:
    picks = (pick("c0", rocksalt()),)
    last = Iteration(search_id="test", iteration=3, picks=(), next_picks=picks, clusters=5)
    following = Iteration(search_id="test", iteration=4, picks=picks)
    assert steps.next_iteration(last) == following
    verdict = Convergence(converged=False, agreeing=3, compared=3, reason="", unchanged=2)
    unchanged = steps.next_iteration(last.model_copy(update={"convergence": verdict}))
    assert unchanged == following.model_copy(update={"unchanged_before": 2})


def concluded(
    config: SearchConfig, relaxations: Sequence[Relaxation], labels: Sequence[Label], number: int
) -> Iteration:
    iteration = Iteration(search_id="test", iteration=number, picks=())
    iteration = steps.cluster_and_select(config, iteration, relaxations, labels)
    return steps.conclude(config, iteration, relaxations, labels)


def settled(make_relaxation: Callable[..., Relaxation]) -> list[Relaxation]:
    """Three crystals that this iteration has left as they were."""
    found = []
    for k, crystal in enumerate((rocksalt(), caesium_chloride(), zincblende())):
        descriptor = (float(k), 0.0)
        found.append(
            make_relaxation(
                f"c{k:05d}",
                energy=-3.5 + 0.1 * k,
                crystal=crystal,
                descriptor=descriptor,
                previous_energy=-3.5 + 0.1 * k,
                previous_descriptor=descriptor,
                previous_crystal=crystal,
            )
        )
    return found


def test_a_settled_pool_ends_by_convergence_and_is_validated(
    make_relaxation: Callable[..., Relaxation], make_label: Callable[..., Label]
) -> None:
    config = settings(
        convergence={"top_k": 2, "min_iterations": 2},
        validation={"top_k": 2},
        selection={"min_samples": 1},
    )
    labels = [make_label("c00000", energy=-7.0)]
    relaxations = settled(make_relaxation)
    early = concluded(config, relaxations, labels, 0)
    assert early.ended_by is None
    assert early.finalists == ()
    ended = concluded(config, relaxations, labels, 1)
    assert ended.ended_by is EndedBy.CONVERGENCE
    assert ended.convergence is not None
    assert (ended.convergence.agreeing, ended.convergence.compared) == (2, 2)
    assert [one.candidate_id for one in ended.top] == ["c00000", "c00001"]
    assert [one.candidate_id for one in ended.finalists] == ["c00000", "c00001"]


def test_a_crystal_that_was_not_there_before_is_a_change(
    make_relaxation: Callable[..., Relaxation],
) -> None:
    config = settings(convergence={"top_k": 2, "min_iterations": 1}, selection={"min_samples": 1})
    relaxations = settled(make_relaxation)
    relaxations[0] = relaxations[0].model_copy(update={"previous_crystal": zincblende()})
    ended = concluded(config, relaxations, [], 1)
    assert ended.convergence is not None
    assert (ended.convergence.agreeing, ended.convergence.converged) == (1, False)


def test_a_pool_that_broke_altogether_is_an_error_that_names_the_remedy(
    make_relaxation: Callable[..., Relaxation],
) -> None:
    broken = [make_relaxation(f"c{k}", stop=StopReason.COLLAPSED) for k in range(3)]
    with pytest.raises(SearchFailed, match=r"iteration 2: .* selection\.first_labels"):
        concluded(settings(), broken, [], 2)


def test_a_search_whose_targets_all_broke_goes_on_and_fails_only_at_its_end(
    make_relaxation: Callable[..., Relaxation],
) -> None:
    relaxations = [
        make_relaxation("c00000"),
        make_relaxation("t00000", role=Role.TARGET, stop=StopReason.EXPLODED),
    ]
    config = settings(convergence={"max_iterations": 4})
    going_on = concluded(config, relaxations, [], 1)
    assert (going_on.top, going_on.ended_by) == ((), None)
    assert [pick.candidate_id for pick in going_on.next_picks] == ["c00000"]
    with pytest.raises(SearchFailed, match="every target broke"):
        concluded(config, relaxations, [], 3)
