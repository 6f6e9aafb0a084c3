import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import schnetpack.properties as keys
from ase.neighborlist import neighbor_list
from tests.unit.builders import double_inputs, random_crystal, rocksalt

from pyrite.documents import Crystal
from pyrite.models.dataset import Neighbors, both_directions, neighbors
from pyrite.models.neighbor_lists import NeighborLists
from pyrite.models.torchsim import without

CUTOFF = 4.0


def fresh(positions: np.ndarray, cell: np.ndarray) -> Neighbors:
    return neighbors(positions, cell, CUTOFF)


def assert_equal(found: Neighbors, wanted: Neighbors) -> None:
    assert np.array_equal(found.i, wanted.i)
    assert np.array_equal(found.j, wanted.j)
    assert np.array_equal(found.shifts, wanted.shifts)


def edges_by_ase(crystals: list[Crystal]) -> list[tuple[float, ...]]:
    edges, first = [], 0
    for crystal in crystals:
        atoms = crystal.to_atoms()
        i, j, shifts = neighbor_list("ijS", atoms, CUTOFF)
        offsets = shifts @ np.array(crystal.cell)
        edges += zip(i + first, j + first, *offsets.T.round(6) + 0.0, strict=True)
        first += len(atoms)
    return sorted(edges)


def test_pairs_in_both_directions_are_the_edges_of_ase():
    """Cells thinner than the cutoff among them, where atoms see their own images."""
    crystals = [random_crystal(1), rocksalt(), random_crystal(2, (14,)), random_crystal(3, (8, 13))]
    once = double_inputs(crystals, CUTOFF)
    twice = both_directions(once)
    offsets = twice[keys.offsets].numpy().round(6) + 0.0
    found = zip(twice[keys.idx_i].tolist(), twice[keys.idx_j].tolist(), *offsets.T, strict=True)
    assert sorted(found) == edges_by_ase(crystals)
    assert 2 * len(once[keys.idx_i]) == len(twice[keys.idx_i])


@pytest.mark.parametrize("seed", range(4))
def test_a_kept_list_is_a_fresh_one_at_every_step(seed):
    crystal = random_crystal(seed)
    positions, cell = np.array(crystal.positions), np.array(crystal.cell)
    rng = np.random.default_rng(seed)
    lists = NeighborLists(CUTOFF, skin=0.6)
    drift = rng.normal(scale=0.01, size=(3, 3))
    for _ in range(60):
        deformation = np.eye(3) + drift + rng.normal(scale=0.003, size=(3, 3))
        cell = cell @ deformation
        positions = positions @ deformation + rng.normal(scale=0.02, size=positions.shape)
        found, distances = lists.find("x", positions, cell)
        assert_equal(found, fresh(positions, cell))
        assert distances.max() < CUTOFF
    assert 1 < lists.built < 40


@pytest.mark.parametrize("component", [(0, 0), (0, 1), (2, 0)])
def test_one_cell_component_that_changes_alone_is_noticed(component):
    """Where SchNetPack's own list with a skin keeps stale offsets."""
    crystal = random_crystal(1)
    positions, cell = np.array(crystal.positions), np.array(crystal.cell)
    lists = NeighborLists(CUTOFF, skin=0.3)
    for k in range(30):
        changed = cell.copy()
        changed[component] -= 0.08 * k
        found, _ = lists.find("x", positions, changed)
        assert_equal(found, fresh(positions, changed))


def test_a_wrong_name_costs_time_but_no_pairs():
    lists = NeighborLists(CUTOFF, skin=0.5)
    for seed, numbers in ((1, (11, 17)), (2, (11, 11, 17, 17)), (3, (11, 17)), (4, (11, 17))):
        crystal = random_crystal(seed, numbers)
        positions, cell = np.array(crystal.positions), np.array(crystal.cell)
        found, _ = lists.find("the same", positions, cell)
        assert_equal(found, fresh(positions, cell))


def test_nothing_is_kept_without_a_name_or_after_forgetting():
    crystal = random_crystal(1)
    positions, cell = np.array(crystal.positions), np.array(crystal.cell)
    lists = NeighborLists(CUTOFF, skin=0.5)
    for _ in range(2):
        assert_equal(lists.find(None, positions, cell)[0], fresh(positions, cell))
    lists.find("x", positions, cell)
    lists.find("x", positions, cell)
    lists.forget("x")
    lists.find("x", positions, cell)
    assert lists.built == 4


def test_torch_sim_is_imported_without_lists_that_nobody_uses() -> None:
    """In a process of its own: whatever imports torch_sim first decides."""
    code = "import sys, pyrite.models.shards; sys.exit('nvalchemiops' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_a_package_is_missing_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with without("this"), pytest.raises(ImportError):
        importlib.import_module("this")
    assert importlib.util.find_spec("this") is not None
    assert "this" not in sys.modules
    with without("json"):
        assert importlib.import_module("json").dumps([]) == "[]"
    assert "json" in sys.modules
