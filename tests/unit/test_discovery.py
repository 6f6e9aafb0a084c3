"""When the benchmark takes a ground state for found, and what that has cost."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.builders import caesium_chloride, rocksalt, zincblende

from benchmarks.discovery import Discovery
from benchmarks.random_search import FMAX, MAX_STEPS, TOLERANCE
from pyrite.documents import Crystal, Iteration, Label, LabelStatus, TopCluster
from pyrite.errors import LabelError

GROUND = -3.4  # eV/atom


class Stub:
    """Takes seven calls to leave a crystal as it is, at energies by the length of its cell (Å)."""

    def __init__(self, energies: dict[float, float]) -> None:
        self.energies = energies
        self.asked: list[float] = []

    def static(self, crystal: Crystal) -> Any:
        raise NotImplementedError

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> Any:
        assert (fmax, max_steps) == (FMAX, MAX_STEPS)
        volume = round(crystal.volume_per_atom, 3)
        self.asked.append(volume)
        if volume not in self.energies:
            raise LabelError("does not converge", calls=30)
        energy = self.energies[volume] * len(crystal.numbers)
        return SimpleNamespace(crystal=crystal, energy=energy, calls=7, converged=True)


def volume(crystal: Crystal) -> float:
    return round(crystal.volume_per_atom, 3)


def iteration(k: int, *top: tuple[Crystal, float]) -> Iteration:
    clusters = [
        TopCluster(candidate_id=f"c{n:05d}", energy=energy, size=1, crystal=crystal)
        for n, (crystal, energy) in enumerate(top)
    ]
    return Iteration(search_id="test", iteration=k, picks=(), top=tuple(clusters))


def test_the_top_clusters_are_relaxed_from_the_lowest_until_one_is_the_ground_state() -> None:
    other, ground, never = caesium_chloride(), rocksalt(5.6), zincblende()
    engine = Stub({volume(other): GROUND + 0.1, volume(ground): GROUND + 0.002})
    seen = Discovery(engine, rocksalt(), GROUND)
    seen.look(iteration(0, (other, -3.9)), [], 10)
    assert (seen.first_found, engine.asked) == (None, []), "the ground state is not among them"
    seen.look(iteration(1, (never, -3.0), (ground, -3.5), (other, -3.9)), [], 15)
    assert engine.asked == [volume(other), volume(ground)]
    assert seen.first_found == 15 + 7 + 7
    seen.look(iteration(2, (ground, -3.5)), [], 23)
    assert seen.first_found == 29


def test_what_is_looked_for_in_larger_cells_is_not_found_in_the_small_one(
    make_label: Callable[..., Label],
) -> None:
    ground = rocksalt(5.6)
    seen = Discovery(Stub({volume(ground): GROUND}), rocksalt(), GROUND, larger=True)
    label = make_label(energy=2 * GROUND)
    small = iteration(0, (ground, -3.5)).model_copy(update={"larger_cells": False})
    seen.look(small, [label], 10)
    assert (seen.first_found, seen.known) == (None, None)
    seen.look(iteration(1, (ground, -3.5)), [label], 15)
    assert (seen.first_found, seen.known) == (15 + 7, None)


def test_attempts_that_fail_count() -> None:
    ground, good = rocksalt(5.6), rocksalt(5.7)
    engine = Stub({volume(good): GROUND})
    seen = Discovery(engine, rocksalt(), GROUND)
    seen.look(iteration(0, (ground, -3.5)), [], 10)
    assert seen.first_found is None
    seen.look(iteration(1, (good, -3.5)), [], 15)
    assert seen.first_found == 15 + 30 + 7


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, 15),
        ({"energy": 2 * (GROUND + 1.1 * TOLERANCE)}, None),
        ({"crystal": caesium_chloride()}, None),
        ({"status": LabelStatus.ABSURD, "reason": "too large forces"}, None),
        ({"iteration": 0}, None),
    ],
)
def test_known_is_a_label_of_the_structure_with_its_energy(
    make_label: Callable[..., Label], changes: dict[str, Any], known: int | None
) -> None:
    label = make_label(**{"iteration": 1, "energy": 2 * (GROUND + 0.9 * TOLERANCE)} | changes)
    seen = Discovery(Stub({}), rocksalt(), GROUND)
    seen.look(iteration(1), [label], 15)
    assert (seen.known, seen.first_found) == (known, None)
