"""How one iteration leads to the next, and what ends the loop."""

import pytest
from tests.unit.builders import rocksalt
from tests.unit.stand_in import LARGER, pick, settings

from pyrite.documents import Convergence, EndedBy, Iteration
from pyrite.models import course


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
    assert course.ended_by(config, iteration, verdict(converged=converged)) is expected


def test_the_next_iteration_begins_with_the_picks_of_the_last() -> None:
    picks = (pick("c0", rocksalt()),)
    last = Iteration(search_id="test", iteration=3, picks=(), next_picks=picks, clusters=5)
    following = Iteration(search_id="test", iteration=4, picks=picks)
    assert course.next_iteration(settings(), last) == following
    verdict = Convergence(converged=False, agreeing=3, compared=3, reason="", unchanged=2)
    unchanged = course.next_iteration(settings(), last.model_copy(update={"convergence": verdict}))
    assert unchanged == following.model_copy(update={"unchanged_before": 2})


@pytest.mark.parametrize(
    ("number", "converged", "picks", "ended", "joining"),
    [
        (1, False, 1, None, False),
        (1, True, 1, EndedBy.CONVERGENCE, True),
        (1, True, 0, EndedBy.CONVERGENCE, True),
        (1, False, 0, None, True),
        (7, False, 1, None, True),  # two iterations are left
        (9, True, 1, EndedBy.CONVERGENCE, None),
    ],
)
def test_larger_cells_join_when_the_small_cell_is_done(
    number: int, converged: bool, picks: int, ended: EndedBy | None, joining: bool | None
) -> None:
    config = settings(target=LARGER, convergence={"max_iterations": 10})
    small = Iteration(
        search_id="test",
        iteration=number,
        picks=(),
        next_picks=tuple(pick(f"c{k}", rocksalt()) for k in range(picks)),
        convergence=verdict(converged=converged).model_copy(update={"unchanged": 2}),
        larger_cells=False,
    )
    assert course.ended_by(config, small, verdict(converged=converged)) is ended
    unconfirmed = settings(target=LARGER, convergence={"max_iterations": 10, "confirm": False})
    without = ended if number == 9 else None
    assert course.ended_by(unconfirmed, small, verdict(converged=converged)) is without
    if joining is not None:
        following = course.next_iteration(config, small)
        assert following.larger_cells is joining
        assert following.unchanged_before == (0 if joining else 2), "larger cells count anew"
        joined = small.model_copy(update={"larger_cells": True})
        later = course.next_iteration(config, joined)
        assert (later.larger_cells, later.unchanged_before) == (True, 2), "they stay"


@pytest.mark.parametrize(
    ("target", "most", "expected"),
    [
        (None, 10, True),
        ("nacl-rocksalt", 10, True),
        (LARGER, 10, False),
        (LARGER, 2, True),
        ({**LARGER, "join": "first"}, 10, True),
    ],
)
def test_who_takes_part_from_the_first_iteration(target: object, most: int, expected: bool) -> None:
    config = settings(target=target, convergence={"max_iterations": most, "min_iterations": 1})
    assert course.first_iteration(config, "test", []).larger_cells is expected
