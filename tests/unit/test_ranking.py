"""The final ranking and the ledger."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from tests.unit.builders import caesium_chloride, rocksalt, zincblende

from pyrite.documents import (
    Crystal,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Provenance,
    Role,
    ShardCost,
    TopCluster,
    TrainedMember,
    Validation,
)
from pyrite.models import ranking as of_all
from pyrite.models.known_structures import known_structure
from pyrite.models.ranking import find_target, first_found, ledger, space_group

SYMPREC = 0.1

rank = partial(of_all.rank, role=Role.TRAIN)


def paid(calls: int = 1, seconds: float = 1.0) -> Provenance:
    return Provenance(engine="test", engine_version="1", seconds=seconds, reference_calls=calls)


def validation(
    candidate_id: str,
    crystal: Crystal,
    energy: float,
    *,
    iteration: int = 1,
    converged: bool = True,
    calls: int = 1,
) -> Validation:
    return Validation(
        search_id="test",
        iteration=iteration,
        candidate_id=candidate_id,
        status=LabelStatus.OK,
        converged=converged,
        energy=energy,
        fmax=0.01,
        crystal=crystal,
        provenance=paid(calls),
    )


def failed_validation(candidate_id: str, calls: int = 1) -> Validation:
    return Validation(
        search_id="test",
        iteration=1,
        candidate_id=candidate_id,
        status=LabelStatus.FAILED,
        reason="no SCF",
        provenance=paid(calls),
    )


def iteration(number: int, *top: Crystal, ended_by: EndedBy | None = None) -> Iteration:
    clusters = [
        TopCluster(candidate_id=f"c{k:05d}", energy=-3.0, size=1, crystal=crystal)
        for k, crystal in enumerate(top)
    ]
    return Iteration(
        search_id="test", iteration=number, picks=(), top=tuple(clusters), ended_by=ended_by
    )


def in_another_setting(crystal: Crystal) -> Crystal:
    """A rotated, shifted supercell with its atoms in another order."""
    atoms = crystal.to_atoms().repeat((2, 1, 1))
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    atoms.translate((0.3, 0.1, -0.7))
    atoms.wrap()
    return Crystal.from_atoms(atoms[np.arange(len(atoms))[::-1]])


def ids(ranking: Sequence[object]) -> list[tuple[str, ...]]:
    return [one.candidate_ids for one in ranking]  # type: ignore[attr-defined]


# ------------------------------------------------------------------ the ranking


def test_nothing_validated_ranks_nothing() -> None:
    assert rank([], [], SYMPREC) == ()
    assert rank([failed_validation("a")], [iteration(0)], SYMPREC) == ()


def test_lowest_first_with_energies_above_the_lowest() -> None:
    ranking = rank(
        [
            validation("b", caesium_chloride(), -3.35),
            validation("c", zincblende(), -3.30, converged=False),
            validation("a", rocksalt(), -3.40),
        ],
        [],
        SYMPREC,
    )
    assert ids(ranking) == [("a",), ("b",), ("c",)]
    assert [one.rank for one in ranking] == [1, 2, 3]
    assert [one.energy_ev_per_atom for one in ranking] == [-3.40, -3.35, -3.30]
    above = [one.energy_above_lowest_ev_per_atom for one in ranking]
    assert above == pytest.approx([0.0, 0.05, 0.10])
    assert [one.space_group_number for one in ranking] == [225, 221, 216]
    assert [one.converged for one in ranking] == [True, True, False]
    assert ranking[0].volume_a3_per_atom == pytest.approx(5.7**3 / 8)
    assert ranking[0].crystal == rocksalt()


def test_the_stress_that_is_left_is_told() -> None:
    """Forces may be small where the last cell's basis and k-points see a stress."""
    pushed = validation("a", rocksalt(), -3.40).model_copy(
        update={"stress": ((0.001, 0.0, 0.0), (0.0, -0.01, 0.0), (0.0, 0.0, 0.0))}
    )
    ranking = rank([pushed, validation("b", zincblende(), -3.30)], [], SYMPREC)
    assert ranking[0].residual_stress_gpa == pytest.approx(1.6021766)
    assert ranking[1].residual_stress_gpa is None, "a record of an earlier version"


def test_other_settings_of_one_crystal_are_merged_and_the_lowest_stands_for_them() -> None:
    other = in_another_setting(rocksalt())
    ranking = rank(
        [
            validation("high", rocksalt(), -3.399, converged=False),
            validation("low", other, -3.401),
            validation("else", caesium_chloride(), -3.400),
        ],
        [],
        SYMPREC,
    )
    assert ids(ranking) == [("low", "high"), ("else",)]
    assert ranking[0].energy_ev_per_atom == -3.401
    assert ranking[0].crystal == other
    assert ranking[0].converged
    assert ranking[0].space_group_number == 225


@pytest.mark.parametrize(("apart", "crystals"), [(0.0049, 1), (0.0051, 2)])
def test_two_relaxations_of_one_crystal_end_within_5_mev(apart: float, crystals: int) -> None:
    ranking = rank(
        [validation("a", rocksalt(), -3.4), validation("b", rocksalt(), -3.4 + apart)], [], SYMPREC
    )
    assert len(ranking) == crystals


def test_failed_validations_are_left_out() -> None:
    ranking = rank([failed_validation("a"), validation("b", rocksalt(), -3.4)], [], SYMPREC)
    assert ids(ranking) == [("b",)]


def test_the_order_of_validations_does_not_matter() -> None:
    validations = [
        validation("a", rocksalt(), -3.4),
        validation("b", in_another_setting(rocksalt()), -3.4),
        validation("c", zincblende(), -3.4),
    ]
    assert rank(validations, [], SYMPREC) == rank(validations[::-1], [], SYMPREC)


@pytest.mark.parametrize(
    ("name", "symbol", "number"),
    [
        ("si-diamond", "Fd-3m", 227),
        ("nacl-rocksalt", "Fm-3m", 225),
        ("gaas-zincblende", "F-43m", 216),
        ("al2o3-corundum", "R-3c", 167),
        ("tio2-rutile", "P4_2/mnm", 136),
        ("tio2-anatase", "I4_1/amd", 141),
    ],
)
def test_space_groups_of_known_structures_within_the_tolerance(
    name: str, symbol: str, number: int
) -> None:
    structure = known_structure(name)
    structure.perturb(0.005, seed=1)
    crystal = Crystal.from_structure(structure)
    assert space_group(crystal, SYMPREC) == (symbol, number)
    assert space_group(crystal, 1e-4) == ("P1", 1)


# ------------------------------------------------------------------ when it was found


def test_first_found_is_the_first_iteration_that_held_the_crystal() -> None:
    iterations = [
        iteration(0, zincblende()),
        iteration(1, zincblende(), in_another_setting(rocksalt())),
        iteration(2, rocksalt(), zincblende()),
    ]
    ended = [validation("a", rocksalt(), -3.4, iteration=2)]
    assert first_found(rocksalt(), iterations, ended) == 1
    assert first_found(zincblende(), iterations, ended) == 0
    assert rank(ended, iterations, SYMPREC)[0].first_found_iteration == 1


def test_relaxations_of_the_small_cell_have_no_place_among_larger_ones() -> None:
    both = [validation("c00000", rocksalt(), -3.5), validation("t00000", zincblende(), -3.4)]
    assert ids(of_all.rank(both, [], SYMPREC, role=Role.TARGET)) == [("t00000",)]
    assert ids(rank(both, [], SYMPREC)) == [("c00000",)]


def test_the_same_crystal_in_a_small_cell_is_not_yet_found_in_a_larger_one() -> None:
    small = iteration(0, rocksalt()).model_copy(update={"larger_cells": False})
    iterations = [small, iteration(1, zincblende()), iteration(2, in_another_setting(rocksalt()))]
    ended = [validation("t00000", in_another_setting(rocksalt()), -3.4, iteration=2)]
    assert first_found(in_another_setting(rocksalt()), iterations, ended) == 2


def test_what_a_reference_relaxation_brought_about_was_found_by_it() -> None:
    """Also if the loop then went on and learnt it."""
    iterations = [iteration(k, zincblende()) for k in range(2)]
    iterations += [iteration(k, caesium_chloride()) for k in range(2, 4)]
    twice = [validation("a", caesium_chloride(), -3.4, iteration=k) for k in (3, 1)]
    assert first_found(caesium_chloride(), iterations, twice) == 1


# ------------------------------------------------------------------ the ledger


def member(iteration_: int, seconds: float) -> TrainedMember:
    return TrainedMember(
        search_id="test",
        iteration=iteration_,
        member=0,
        architecture={},
        format_version=1,
        labels=1,
        left_out=0,
        epochs=1,
        seconds=seconds,
        energy_mae=0.0,
        force_mae=0.0,
        stress_mae=0.0,
    )


def test_ledger_sums_by_kind(make_label: Callable[..., Label]) -> None:
    labels = [
        make_label("c0", provenance=paid(1, 2.0)),
        make_label("c1", provenance=paid(1, 2.0), status=LabelStatus.FAILED),
        make_label("c2", iteration=1, provenance=paid(3, 4.0)),
        make_label("c2", iteration=2, provenance=paid(10, 8.0)),
    ]
    validations = [
        validation("a", rocksalt(), -3.4, calls=20),
        validation("b", rocksalt(), -3.399, calls=40),
        failed_validation("c", calls=80),
    ]
    ranking = rank(validations, [iteration(0, zincblende()), iteration(1, rocksalt())], SYMPREC)
    shards = [
        ShardCost(search_id="test", iteration=0, shard=k, candidates=1, steps=1, seconds=0.5)
        for k in range(3)
    ]
    spent = ledger(labels, [member(0, 1.5), member(1, 2.5)], shards, validations, ranking)
    assert spent.reference_calls == 1 + 1 + 3 + 10 + 20 + 40 + 80
    # Labels up to the iteration that found it, and the one relaxation that confirmed it.
    assert spent.reference_calls_first_found == 1 + 1 + 3 + 20
    assert spent.reference_seconds == 2 + 2 + 4 + 8 + 3
    assert spent.training_seconds == 4.0
    assert spent.relaxation_seconds == 1.5
    assert spent.failed_labels == 1


def test_what_earlier_validations_cost_was_spent_before_the_winner_was_found(
    make_label: Callable[..., Label],
) -> None:
    labels = [make_label("c0", iteration=k, provenance=paid(1)) for k in range(4)]
    validations = [
        validation("a", zincblende(), -3.2, iteration=1, calls=20),
        validation("a", rocksalt(), -3.4, iteration=3, calls=300),
        validation("b", caesium_chloride(), -3.3, iteration=3, calls=4000),
    ]
    iterations = [iteration(k, zincblende()) for k in range(2)]
    iterations += [iteration(k, rocksalt()) for k in range(2, 4)]
    spent = ledger(labels, [], [], validations, rank(validations, iterations, SYMPREC))
    assert spent.reference_calls_first_found == 3 + 20 + 300
    assert spent.reference_calls == 4 + 20 + 300 + 4000
    # Zincblende was in the first iteration, caesium chloride never among the top clusters.
    costs = [
        one.reference_calls_first_found for one in rank(validations, iterations, SYMPREC, labels)
    ]
    assert costs == [3 + 20 + 300, 4 + 20 + 4000, 1 + 20]
    unknown = rank(validations, iterations, SYMPREC)
    assert {one.reference_calls_first_found for one in unknown} == {None}


def test_the_target_is_found_where_it_ranks_and_costs_what_had_been_spent_by_then(
    make_label: Callable[..., Label],
) -> None:
    labels = [make_label("c0", iteration=k, provenance=paid(1)) for k in range(4)]
    cycles = Provenance(
        engine="test", engine_version="1", seconds=5.0, reference_calls=300, scf_cycles=7
    )
    validations = [
        validation("a", zincblende(), -3.2, iteration=1, calls=20),
        validation("a", rocksalt(), -3.4, iteration=3, calls=4000),
        validation("b", caesium_chloride(), -3.3, iteration=3).model_copy(
            update={"provenance": cycles}
        ),
    ]
    iterations = [iteration(0, zincblende()), iteration(1, zincblende())]
    iterations += [iteration(k, caesium_chloride()) for k in range(2, 4)]
    ranking = rank(validations, iterations, SYMPREC)
    found = find_target("it", in_another_setting(caesium_chloride()), ranking, labels, validations)
    assert found.model_dump() == {
        "structure": "it",
        "rank": 2,
        "iteration": 2,
        "reference_calls": 3 + 20 + 300,
        "scf_cycles": 7,
        "reference_seconds": sum(one.provenance.seconds for one in labels[:3]) + 1 + 5,
    }
    missing = find_target("it", rocksalt(a=8.5), ranking, labels, validations)
    assert (missing.rank, missing.reference_calls) == (None, None)


def test_ledger_of_a_search_without_a_ranking(make_label: Callable[..., Label]) -> None:
    assert ledger([], [], [], [], ()).model_dump() == {
        "reference_calls": 0,
        "reference_calls_first_found": None,
        "scf_cycles": None,
        "reference_seconds": 0.0,
        "training_seconds": 0.0,
        "relaxation_seconds": 0.0,
        "failed_labels": 0,
        "label_problems": {},
        "target": None,
    }
    spent = ledger([make_label()], [], [], [], ())
    assert (spent.reference_calls, spent.reference_calls_first_found) == (1, None)
