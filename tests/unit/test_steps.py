"""The steps of the loop: what they label and what they decide."""

from collections.abc import Callable, Sequence

import pytest
from tests.unit.builders import caesium_chloride, rocksalt, zincblende
from tests.unit.stand_in import LARGER, Engine, pick, settings

from pyrite.config import SearchConfig
from pyrite.documents import (
    Choice,
    Crystal,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Relaxation,
    Rest,
    Role,
    StopReason,
)
from pyrite.errors import SearchFailed, TooManyFailedLabels
from pyrite.models import steps
from pyrite.models.reference import StaticResult

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


def judged(make_label: Callable[..., Label], failed: int, of: int, iteration: int) -> list[Label]:
    status = [LabelStatus.FAILED] * failed + [LabelStatus.OK] * (of - failed)
    return [
        make_label(f"c{k:05d}", iteration=iteration, status=one, reason="no SCF")
        for k, one in enumerate(status)
    ]


@pytest.mark.parametrize(("failed", "enough"), [(0, True), (6, True), (7, False), (20, False)])
def test_a_search_stops_when_too_many_labels_failed(
    make_label: Callable[..., Label], failed: int, enough: bool
) -> None:
    config = settings(reference={"required_success": 0.7})
    # Failures of other iterations have been judged before.
    labels = [*judged(make_label, failed, 20, 1), *judged(make_label, 9, 9, 0)]
    if enough:
        steps.require_success(config, labels, 1)
    else:
        with pytest.raises(TooManyFailedLabels, match=rf"{failed} of 20 .* iteration 1 .*no SCF"):
            steps.require_success(config, labels, 1)


@pytest.mark.parametrize(
    ("before", "now", "enough"),
    [
        ((0, 10), (4, 5), True),  # 4 of 15
        ((1, 10), (4, 5), False),  # 5 of 15
        ((5, 10), (0, 5), True),  # judged already
        ((9, 40), (2, 5), True),  # 11 of 45
        ((0, 40), (5, 5), False),  # not one of them
        ((0, 0), (1, 2), False),
    ],
)
def test_a_small_iteration_is_judged_with_the_labels_before_it(
    make_label: Callable[..., Label],
    before: tuple[int, int],
    now: tuple[int, int],
    enough: bool,
) -> None:
    config = settings(reference={"required_success": 0.7})
    labels = [*judged(make_label, *before, 3), *judged(make_label, *now, 4)]
    if enough:
        steps.require_success(config, labels, 4)
        return
    steps.require_success(settings(reference={"required_success": 0.0}), labels, 4)
    with pytest.raises(TooManyFailedLabels) as caught:
        steps.require_success(config, labels, 4)
    earlier = before if now[0] < now[1] else (0, 0)
    assert f"{earlier[0] + now[0]} of " in str(caught.value)
    assert f" {earlier[1] + now[1]} reference calculations" in str(caught.value)


def test_an_iteration_without_labels_has_not_failed() -> None:
    steps.require_success(settings(), [], 0)


# ------------------------------------------------------------------ the end of an iteration


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


@pytest.mark.parametrize("criterion", ["structure", "energy"])
@pytest.mark.parametrize(("told", "first"), [(False, "c00000"), (True, "c00002")])
def test_who_ranks_first_if_labels_tell(
    make_relaxation: Callable[..., Relaxation],
    make_label: Callable[..., Label],
    criterion: str,
    told: bool,
    first: str,
) -> None:
    config = settings(
        convergence={
            "top_k": 1,
            "criterion": criterion,
            "label_energies": told,
            "max_energy_spread": 0.3,
        },
        validation={"top_k": 1},
    )
    labels = [
        make_label(name, crystal=crystal, energy=energy * len(crystal.numbers))
        for name, crystal, energy in (
            ("c00000", rocksalt(), -3.48),
            ("c00002", zincblende(), -3.49),
        )
    ]
    ended = concluded(config, settled(make_relaxation), labels, 5)
    [best] = ended.top
    assert best.candidate_id == first
    assert (best.energy, best.label_energy is None) == ((-3.3, False) if told else (-3.5, True))
    assert ended.convergence is not None
    assert ended.convergence.converged, "third by the ensemble, it was first before as well"


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


def test_only_what_can_be_learnt_keeps_a_verdict_waiting(
    make_relaxation: Callable[..., Relaxation],
) -> None:
    """Larger cells are many, and never uncertain: they must not drown those that are."""
    config = settings(
        target=LARGER,
        convergence={"top_k": 2, "min_iterations": 1, "max_uncertain_share": 0.5},
        selection={"min_samples": 1},
    )
    larger = [
        one.model_copy(update={"candidate_id": f"t{k:05d}", "role": Role.TARGET})
        for k, one in enumerate(settled(make_relaxation))
    ]
    for uncertain, converged in ((1, True), (2, False)):
        stops = [StopReason.UNCERTAIN] * uncertain + [StopReason.CONVERGED] * (2 - uncertain)
        small = [make_relaxation(f"c{k:05d}", stop=stop) for k, stop in enumerate(stops)]
        verdict = concluded(config, [*small, *larger], [], 1).convergence
        assert verdict is not None
        assert verdict.unchanged == 1
        assert verdict.converged is converged


def test_uncertain_candidates_are_ranked_where_they_end(
    make_relaxation: Callable[..., Relaxation], make_rest: Callable[..., Rest]
) -> None:
    doubted = {"stop": StopReason.UNCERTAIN, "energy": -1.0, "crystal": caesium_chloride()}
    sure = make_rest(-3.6, descriptor=(5.0, 5.0))
    unsure = make_rest(-3.7, descriptor=(9.0, 0.0), crystal=zincblende(), uncertainty=0.5)
    relaxations = [
        make_relaxation("c00000", energy=-3.5, crystal=caesium_chloride()),
        make_relaxation("c00001", ahead=sure, **doubted),
        make_relaxation("c00002", ahead=unsure, **doubted),
        make_relaxation("c00003", **doubted),
    ]
    config = settings(selection={"min_samples": 1}, convergence={"max_energy_spread": 1.0})
    ended = concluded(config, relaxations, [], 1)
    assert [(one.candidate_id, one.energy, one.settled) for one in ended.top[:3]] == [
        ("c00002", -3.7, False),
        ("c00001", -3.6, True),
        ("c00000", -3.5, True),
    ]
    assert ended.top[1].crystal == rocksalt()
    assert ended.convergence is not None
    assert ended.convergence.uncertain_share == 0.5, "of the last one nothing is known"
    assert {one.crystal for one in ended.next_picks} <= {caesium_chloride()}


def test_an_end_on_whose_energy_the_members_disagree_is_uncertain_though_its_forces_vanish(
    make_relaxation: Callable[..., Relaxation], make_rest: Callable[..., Rest]
) -> None:
    hole = make_rest(-50.0, energy_spread=5.0, uncertainty=0.0)
    relaxations = [make_relaxation("c00000")]
    relaxations += [
        make_relaxation(f"c{k:05d}", stop=StopReason.UNCERTAIN, ahead=hole) for k in range(1, 4)
    ]
    ended = concluded(settings(selection={"min_samples": 1}), relaxations, [], 5)
    assert ended.convergence is not None
    assert ended.convergence.uncertain_share == 0.75
    assert [one.candidate_id for one in ended.top] == ["c00000"]


def test_an_energy_that_one_member_invented_was_no_minimum_before(
    make_relaxation: Callable[..., Relaxation],
) -> None:
    before = {"previous_crystal": rocksalt(), "previous_descriptor": (0.0, 0.0)}
    same = make_relaxation("c00000", previous_energy=-3.5, previous_energy_spread=0.01, **before)
    holes = [
        make_relaxation(
            f"c{k:05d}",
            previous_energy=-50.0 - k,
            previous_energy_spread=5.0,
            previous_crystal=caesium_chloride(3.5 + 0.1 * k),
            previous_descriptor=(10.0 * k, 90.0),
        )
        for k in range(1, 8)
    ]
    config = settings(selection={"min_samples": 1}, convergence={"min_iterations": 1})
    ended = concluded(config, [same, *holes], [], 5)
    assert ended.convergence is not None
    assert (ended.convergence.agreeing, ended.convergence.compared) == (1, 1)


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
