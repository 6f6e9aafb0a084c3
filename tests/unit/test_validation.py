"""The end of a search: finalists, the rule of confirmation, and the result."""

from collections.abc import Callable

import pytest
from tests.unit.builders import caesium_chloride, rocksalt, zincblende
from tests.unit.stand_in import Engine, Interrupted, settings

from pyrite.documents import (
    Choice,
    Convergence,
    Crystal,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Pick,
    TopCluster,
)
from pyrite.errors import SearchFailed, TooManyFailedLabels
from pyrite.models import validation
from pyrite.models.selection import anchors


def ended_with(*top: tuple[str, Crystal]) -> Iteration:
    return Iteration(
        search_id="test",
        iteration=1,
        picks=(),
        ended_by=EndedBy.CONVERGENCE,
        top=tuple(
            TopCluster(candidate_id=candidate_id, energy=-3.0, size=2, crystal=crystal)
            for candidate_id, crystal in top
        ),
    )


def finalist(candidate_id: str = "c1", crystal: Crystal | None = None) -> TopCluster:
    return TopCluster(candidate_id=candidate_id, energy=-3.0, size=2, crystal=crystal or rocksalt())


def test_the_best_labelled_geometry_is_a_finalist_unless_it_is_one_of_them(
    make_label: Callable[..., Label],
) -> None:
    config = settings(validation={"top_k": 2})
    labels = [
        make_label("c00007", crystal=zincblende(), energy=-6.8),
        make_label("c00008", crystal=rocksalt(), energy=-7.0),
        make_label("c00009", crystal=caesium_chloride(), energy=-99, status=LabelStatus.FAILED),
    ]
    known = ended_with(("c1", rocksalt(5.71)), ("c2", caesium_chloride()), ("c3", zincblende()))
    assert [one.candidate_id for one in validation.finalists(config, known, labels)] == ["c1", "c2"]

    lost = ended_with(("c2", caesium_chloride()), ("c3", zincblende()), ("c1", rocksalt()))
    *top, best = validation.finalists(config, lost, labels)
    assert [one.candidate_id for one in top] == ["c2", "c3"]
    assert (best.crystal, best.energy, best.size) == (rocksalt(), -3.5, 1)


def test_finalists_have_names_of_their_own(make_label: Callable[..., Label]) -> None:
    label = make_label("c00007", crystal=rocksalt())
    config = settings()
    (anchor,) = anchors([label], config)
    relaxed_away = ended_with((anchor.candidate_id, zincblende()))
    found = validation.finalists(config, relaxed_away, [label])
    assert [one.crystal for one in found] == [zincblende(), rocksalt()]
    assert len({one.candidate_id for one in found}) == 2, "validations are kept by this name"


def test_what_the_reference_has_relaxed_is_not_relaxed_again() -> None:
    config = settings()
    ends = [
        validation.validate(
            config, ended_with(), Engine(rocksalt(5.6)), finalist("c9", rocksalt(5.6))
        )
    ]
    known = ended_with(("c1", rocksalt()), ("c2", zincblende()))
    found = validation.finalists(config, known, [], ends)
    assert [one.candidate_id for one in found] == ["c2"]


def validated(iteration: Iteration, ends: dict[str, Crystal], energies: list[float]):
    config = settings()
    return [
        validation.validate(config, iteration, Engine(crystal), finalist(name, crystal)).model_copy(
            update={"energy": energy}
        )
        for (name, crystal), energy in zip(ends.items(), energies, strict=True)
    ]


def test_a_winner_that_the_ensemble_did_not_know_reopens_the_loop_once(make_label) -> None:
    config = settings()
    pick = Pick(candidate_id="c3", choice=Choice.SCORE, crystal=rocksalt())
    ended = ended_with(("c1", zincblende()), ("a00-c2", rocksalt())).model_copy(
        update={"next_picks": (pick,)}
    )
    ends = validated(ended, {"c1": caesium_chloride(), "a00-c2-label": rocksalt()}, [-3.6, -3.4])
    judged, following = validation.reopen(config, ended, [], ends)
    assert judged.confirmed is False
    assert following is not None
    assert following.iteration == 2
    assert [(one.candidate_id, one.choice) for one in following.picks] == [
        ("c3", Choice.SCORE),
        ("v01.0-c2", Choice.VALIDATED),
        ("v01.1-c1", Choice.VALIDATED),
    ]
    assert following.picks[2].crystal == caesium_chloride()

    shown = make_label("v01.1-c1", iteration=2, choice=Choice.VALIDATED, crystal=caesium_chloride())
    judged, following = validation.reopen(config, ended, [shown], ends)
    assert (judged.confirmed, following) == (True, None)


@pytest.mark.parametrize(("energy", "confirmed"), [(-3.009, True), (-3.011, False), (-2.5, True)])
def test_a_winner_must_not_lie_below_what_the_ensemble_said_of_it(energy, confirmed) -> None:
    """By more than 0.01 eV/atom; the ensemble said -3."""
    ended = ended_with(("c1", zincblende()))
    ends = validated(ended, {"c1": zincblende()}, [energy])
    judged, following = validation.reopen(settings(), ended, [], ends)
    assert (judged.confirmed, following is None) == (confirmed, confirmed)


@pytest.mark.parametrize(
    ("changes", "ended_by", "confirmed"),
    [
        ({}, EndedBy.CONVERGENCE, True),
        ({"convergence": {"confirm": False}}, EndedBy.CONVERGENCE, False),
        ({"convergence": {"max_iterations": 2, "min_iterations": 1}}, EndedBy.CONVERGENCE, False),
        ({"target": {"composition": "Na4Cl4"}}, EndedBy.CONVERGENCE, False),
        ({}, EndedBy.NOTHING_TO_LABEL, False),
    ],
)
def test_what_keeps_a_loop_closed(changes, ended_by, confirmed) -> None:
    """A known winner; or the settings, the limit, targets, nothing left to label."""
    name = "t1" if "target" in changes else "c1"
    ended = ended_with((name, zincblende())).model_copy(update={"ended_by": ended_by})
    end = zincblende(6.3) if confirmed else rocksalt()
    judged, following = validation.reopen(
        settings(**changes), ended, [], validated(ended, {name: end}, [-3.005])
    )
    assert (judged.confirmed, following) == (confirmed, None)


def test_a_target_search_validates_targets_only(make_label: Callable[..., Label]) -> None:
    config = settings(target={"composition": "Na4Cl4"})
    found = validation.finalists(config, ended_with(("t1", zincblende())), [make_label()])
    assert [one.candidate_id for one in found] == ["t1"]


def small_cell_converged(*top: tuple[str, Crystal]) -> Iteration:
    pick = Pick(candidate_id="c3", choice=Choice.SCORE, crystal=rocksalt())
    verdict = Convergence(converged=True, agreeing=1, compared=1, reason="", unchanged=4)
    waiting = {"larger_cells": False, "convergence": verdict, "next_picks": (pick,)}
    return ended_with(*top).model_copy(update=waiting)


def test_larger_cells_join_once_the_reference_has_confirmed_the_small_cell() -> None:
    config = settings(target={"composition": "Na4Cl4"}, convergence={"max_iterations": 9})
    ended = small_cell_converged(("c1", zincblende()))
    judged, following = validation.reopen(
        config, ended, [], validated(ended, {"c1": zincblende()}, [-3.0])
    )
    assert (judged.confirmed, judged.ended_by) == (True, EndedBy.CONVERGENCE)
    assert following is not None
    assert (following.larger_cells, following.unchanged_before) == (True, 0)
    assert [one.candidate_id for one in following.picks] == ["c3"]


@pytest.mark.parametrize(("max_iterations", "larger"), [(9, False), (4, True)])
def test_larger_cells_wait_while_the_ensemble_is_wrong_about_the_small_one(
    max_iterations: int, larger: bool
) -> None:
    """Unless two iterations are left."""
    config = settings(
        target={"composition": "Na4Cl4"}, convergence={"max_iterations": max_iterations}
    )
    ended = small_cell_converged(("c1", zincblende()))
    judged, following = validation.reopen(
        config, ended, [], validated(ended, {"c1": rocksalt()}, [-3.1])
    )
    assert judged.confirmed is False
    assert following is not None
    assert (following.larger_cells, following.unchanged_before) == (larger, 0)
    assert [one.candidate_id for one in following.picks] == ["c3", "v01.0-c1"]


def test_larger_cells_do_not_join_if_the_reference_could_relax_nothing() -> None:
    config = settings(target={"composition": "Na4Cl4"})
    ended = small_cell_converged(("c1", zincblende()))
    failed = validation.validate(config, ended, Engine(), finalist())
    with pytest.raises(TooManyFailedLabels, match="no SCF after 60 cycles"):
        validation.reopen(config, ended, [], [failed])


def test_a_small_cell_that_was_shown_what_it_missed_lets_larger_ones_join(
    make_label: Callable[..., Label],
) -> None:
    config = settings(target={"composition": "Na4Cl4"}, convergence={"max_iterations": 9})
    ended = small_cell_converged(("c1", zincblende()))
    first = validated(ended, {"c1": rocksalt()}, [-3.1])
    _, following = validation.reopen(config, ended, [], first)
    assert following is not None
    shown = make_label("v01.0-c1", iteration=2, choice=Choice.VALIDATED, crystal=rocksalt())
    again = ended.model_copy(update={"iteration": 3})
    judged, following = validation.reopen(config, again, [shown], first)
    assert judged.confirmed is True
    assert following is not None
    assert following.larger_cells is True


def test_relaxations_of_the_small_cell_cost_something_but_have_no_rank(
    make_label: Callable[..., Label],
) -> None:
    config = settings(target={"composition": "Na4Cl4"})
    small = small_cell_converged(("c1", rocksalt()))
    last = ended_with(("t1", rocksalt())).model_copy(update={"iteration": 2})
    before = validated(small, {"c1": rocksalt()}, [-3.5])
    finalists = validation.finalists(config, last, [make_label()], before)
    assert [one.candidate_id for one in finalists] == ["t1"], "the same crystal in more atoms"
    large = validated(last, {"t1": rocksalt()}, [-3.0])
    result = validation.conclude_search(config, [small, last], [], [], [], [*before, *large])
    assert [one.candidate_ids for one in result.ranking] == [("t1",)]
    both = [one.provenance.reference_calls for one in (*before, *large)]
    assert result.ledger.reference_calls == sum(both)
    assert result.ledger.reference_calls_first_found == sum(both)


def test_validation_is_per_atom_and_failures_are_recorded() -> None:
    config = settings(validation={"max_steps": 50})
    ok = validation.validate(config, ended_with(), Engine(rocksalt()), finalist())
    assert (ok.status, ok.energy, ok.converged) == (LabelStatus.OK, -3.0, True)
    assert ok.fmax == pytest.approx(0.75**0.5)
    assert ok.stress == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    failed = validation.validate(config, ended_with(), Engine(), finalist())
    assert (failed.status, failed.reason) == (LabelStatus.FAILED, "no SCF after 60 cycles")
    assert (failed.energy, failed.crystal) == (None, None)
    assert failed.provenance.reference_calls == 7


def test_a_search_of_which_nothing_could_be_validated_has_no_result() -> None:
    config = settings()
    iterations = [ended_with(("c1", rocksalt()))]
    failed = validation.validate(config, ended_with(), Engine(), finalist())
    with pytest.raises(TooManyFailedLabels, match="no SCF after 60 cycles"):
        validation.conclude_search(config, iterations, [], [], [], [failed])
    ok = validation.validate(config, ended_with(), Engine(rocksalt()), finalist())
    result = validation.conclude_search(config, iterations, [], [], [], [ok])
    assert (result.iterations, result.ended_by) == (1, EndedBy.CONVERGENCE)
    assert [one.space_group_number for one in result.ranking] == [225]
    with pytest.raises(SearchFailed, match="before its loop has ended"):
        validation.conclude_search(
            config, [Iteration(search_id="test", iteration=0, picks=())], [], [], [], [ok]
        )


def test_an_interrupted_relaxation_goes_on_from_its_last_geometry() -> None:
    config = settings(validation={"max_steps": 50})
    engine = Interrupted(rocksalt(5.6), rocksalt(5.65))
    first = validation.validate(config, ended_with(), engine, finalist(crystal=rocksalt(5.6)))
    assert (first.interrupted, first.converged, first.crystal) == (True, False, rocksalt(5.65))
    last = validation.validate(config, ended_with(), engine, finalist(crystal=rocksalt(5.6)), first)
    assert engine.asked == [(rocksalt(5.6), 50), (rocksalt(5.65), 47)]
    assert (last.interrupted, last.converged) == (False, True)
    assert (last.provenance.reference_calls, last.provenance.seconds) == (6, 0.5)


def test_interruptions_end_with_the_steps() -> None:
    config = settings(validation={"max_steps": 3})
    engine = Interrupted(rocksalt(5.6), rocksalt(5.65))
    found = validation.validate(config, ended_with(), engine, finalist(crystal=rocksalt(5.6)))
    assert (found.interrupted, found.converged) == (False, False)


def test_an_absurd_relaxation_is_not_ranked() -> None:
    config = settings(reference={"max_stress": 0.5})
    found = validation.validate(config, ended_with(), Engine(rocksalt()), finalist())
    assert (found.status, found.energy) == (LabelStatus.ABSURD, None)
    assert "stress of more than 0.5" in str(found.reason)
