import math

import numpy as np
import pytest
from pymatgen.transformations.standard_transformations import SupercellTransformation
from tests.unit.builders import caesium_chloride, rocksalt, zincblende

from pyrite.config import ConvergenceConfig, Criterion
from pyrite.documents import Crystal, Role, StopReason, TopCluster
from pyrite.models.clustering import Clusters
from pyrite.models.convergence import (
    by_label,
    compare,
    ranked,
    required_in_a_row,
    top_clusters,
)
from pyrite.models.matching import find_same, same_crystal


def permuted(crystal: Crystal) -> Crystal:
    order = np.random.default_rng(0).permutation(len(crystal.numbers))
    return Crystal(
        numbers=np.array(crystal.numbers)[order].tolist(),
        positions=np.array(crystal.positions)[order].tolist(),
        cell=crystal.cell,
    )


def rotated_and_shifted(crystal: Crystal) -> Crystal:
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    return Crystal(
        numbers=crystal.numbers,
        positions=((np.array(crystal.positions) + 0.3) @ q).tolist(),
        cell=(np.array(crystal.cell) @ q).tolist(),
    )


def conventional(crystal: Crystal) -> Crystal:
    scaling = [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]
    return Crystal.from_structure(
        SupercellTransformation(scaling).apply_transformation(crystal.to_structure())
    )


@pytest.mark.parametrize("change", [permuted, rotated_and_shifted, conventional])
@pytest.mark.parametrize("crystal", [rocksalt(), zincblende(), caesium_chloride()])
def test_other_settings_of_a_crystal_are_the_same_crystal(change, crystal):
    assert same_crystal(crystal, change(crystal))


def test_different_crystals_and_volumes_are_told_apart():
    kinds = [rocksalt(), zincblende(), caesium_chloride()]
    for k, one in enumerate(kinds):
        assert find_same(one, kinds) == k
    assert not same_crystal(rocksalt(5.7), rocksalt(7.2))


def top(*crystals: Crystal, energies: tuple[float, ...] = (-3.0, -2.9, -2.8)):
    return tuple(
        TopCluster(candidate_id=f"c{k}", energy=energy, size=1, crystal=crystal)
        for k, (crystal, energy) in enumerate(zip(crystals, energies, strict=False))
    )


def test_top_clusters_are_the_lowest_of_each_group():
    clusters = Clusters(np.array([0, 0, 1, 2]), 1, 2, 0.5)
    found = top_clusters(
        ["a", "b", "c", "d"],
        [-1.0, -2.0, -3.0, -0.5],
        [rocksalt(), rocksalt(), zincblende(), caesium_chloride()],
        clusters,
        2,
    )
    assert [(one.candidate_id, one.size) for one in found] == [("c", 1), ("b", 2)]
    assert [one.members for one in found] == [("c",), ("a", "b")]


def test_one_crystal_in_two_groups_counts_once():
    clusters = Clusters(np.array([0, 1, 2]), 0, 3, 0.5)
    crystals = [rocksalt(), conventional(rocksalt()), zincblende()]
    found = top_clusters(["a", "b", "c"], [-3.0, -2.99, -2.0], crystals, clusters, 3)
    assert [one.candidate_id for one in found] == ["a", "c"]
    assert [(one.size, one.members) for one in found] == [(1, ("a", "b")), (1, ("c",))]


def test_clusters_are_ranked_by_the_lowest_label_of_their_crystal(make_label):
    found = top(rocksalt(), caesium_chloride(), zincblende(), energies=(-3.0, -2.9, -2.8))
    labels = [
        make_label(
            f"c{k}",
            crystal=crystal,
            energy=energy * len(crystal.numbers),
            forces=((force, 0.0, 0.0),) * len(crystal.numbers),
        )
        for k, (crystal, energy, force) in enumerate(
            (
                (rocksalt(), -2.92, 0.3),
                (conventional(rocksalt()), -2.95, 0.1),
                (caesium_chloride(), -2.99, 0.31),  # on its way
                (caesium_chloride(), -2.97, 0.0),
                (zincblende(), -3.5, 0.0),  # far from what is ranked
            )
        )
    ]
    labels.append(make_label("c9", crystal=zincblende(), status="failed", energy=None))
    told = by_label(found, labels, 0.1)
    assert [(one.candidate_id, one.energy, one.label_energy) for one in told] == [
        ("c1", -2.9, pytest.approx(-2.97)),
        ("c0", -3.0, pytest.approx(-2.95)),
        ("c2", -2.8, None),
    ]
    assert by_label(found, [], 0.1) == found


def test_ranked_prefers_targets_and_leaves_out_broken_candidates(make_relaxation):
    train = [make_relaxation("c0"), make_relaxation("c1", stop=StopReason.NOT_A_NUMBER)]
    assert ranked(train, 0.1) == [0]
    assert ranked([*train, make_relaxation("t0", role=Role.TARGET)], 0.1) == [2]


def test_holes_that_one_member_invents_are_not_ranked(make_relaxation):
    hole = make_relaxation("c0", energy=-70.0, energy_spread=30.0)
    assert ranked([hole, make_relaxation("c1", energy_spread=0.05)], 0.1) == [1]
    assert ranked([hole], 0.1) == [0]


def test_the_structure_criterion_ignores_energies_but_not_crystals():
    config = ConvergenceConfig(criterion=Criterion.STRUCTURE, top_k=2, min_iterations=1)
    before = top(rocksalt(), zincblende(), energies=(-3.0, -2.5))
    swapped = top(conventional(zincblende()), permuted(rocksalt()), energies=(-3.3, -3.2))
    assert compare(before, swapped, 0, config).converged
    other = top(rocksalt(), caesium_chloride(), energies=(-3.0, -2.5))
    verdict = compare(before, other, 0, config)
    assert (verdict.converged, verdict.agreeing, verdict.compared) == (False, 1, 2)


def test_the_energy_criterion_ignores_crystals_but_not_energies():
    config = ConvergenceConfig(criterion=Criterion.ENERGY, top_k=2, min_iterations=1)
    before = top(rocksalt(), zincblende(), energies=(-3.0, -2.5))
    near = top(zincblende(), rocksalt(), energies=(-3.009, -2.5))
    far = top(rocksalt(), zincblende(), energies=(-3.011, -2.5))
    assert compare(before, near, 0, config).converged
    assert compare(before, far, 0, config).agreeing == 1


@pytest.mark.parametrize("criterion", list(Criterion))
def test_a_cluster_that_stopped_as_uncertain_counts_as_changed(criterion):
    config = ConvergenceConfig(criterion=criterion, top_k=1, min_iterations=1)
    (settled,) = top(rocksalt())
    moving = settled.model_copy(update={"settled": False})
    assert compare([settled], [settled], 0, config).converged
    assert compare([moving], [settled], 0, config).converged
    assert not compare([settled], [moving], 0, config).converged
    whatever = config.model_copy(update={"settled": False})
    assert compare([settled], [moving], 0, whatever).converged


@pytest.mark.parametrize("criterion", list(Criterion))
def test_nothing_to_compare_is_no_convergence(criterion):
    config = ConvergenceConfig(criterion=criterion, min_iterations=1)
    assert not compare((), top(rocksalt()), 0, config).converged
    assert not compare(top(rocksalt()), (), 0, config).converged


@pytest.mark.parametrize("criterion", list(Criterion))
def test_fewer_clusters_than_k_can_converge(criterion):
    config = ConvergenceConfig(criterion=criterion, top_k=10, min_iterations=1)
    assert compare(top(rocksalt()), top(rocksalt()), 0, config).converged


def test_a_cluster_more_than_before_is_a_change():
    config = ConvergenceConfig(criterion=Criterion.ENERGY, top_k=2, min_iterations=1)
    assert not compare(top(rocksalt()), top(rocksalt(), zincblende()), 0, config).converged


def test_a_pool_that_is_mostly_uncertain_has_no_verdict():
    config = ConvergenceConfig(top_k=1, min_iterations=1, max_uncertain_share=0.5)
    same = top(rocksalt())
    assert compare(same, same, 0, config, uncertain_share=0.5).converged
    verdict = compare(same, same, 0, config, uncertain_share=0.51)
    assert verdict.uncertain_share == 0.51
    assert not verdict.converged
    assert verdict.reason.endswith(
        "51% of the candidates are uncertain (1 of 5 iterations in a row)"
    )
    verdict = compare(same, same, 27, config, uncertain_share=0.51)
    assert verdict.reason.endswith("(1 of 5 iterations in a row; 2 are left)")
    verdict = compare(same, same, 0, config, uncertain_share=1.0)
    assert not verdict.converged
    assert verdict.reason.endswith("100% of the candidates are uncertain")


def test_a_pool_that_stays_uncertain_ends_after_some_iterations_in_a_row_without_change():
    config = ConvergenceConfig(top_k=1, min_iterations=1, max_uncertain_share=0.5, patience=3)
    same, other = top(rocksalt()), top(zincblende())
    seen, verdicts = 0, []
    for k, after in enumerate((same, same, other, same, same, same)):
        verdicts.append(compare(same, after, k, config, 0.501, unchanged_before=seen))
        seen = verdicts[-1].unchanged
    assert [one.unchanged for one in verdicts] == [1, 2, 0, 1, 2, 3]
    assert [one.converged for one in verdicts] == [False] * 6
    verdict = compare(same, same, 6, config, 0.501, unchanged_before=seen)
    assert verdict.converged
    assert verdict.unchanged == 4


@pytest.mark.parametrize(
    ("limit", "share", "required"),
    [
        (0.5, 0.5, 1),
        (0.5, 2 / 3, 6),
        (0.5, 0.9, 27),
        (0.5, 1.0, math.inf),
        (0.2, 0.5, 3),
        (0.2, 0.45, 3),  # 3 · 9 / 11, rounded up
        (0.8, 0.9, 27),
        (0.0, 0.1, 1),
        (0.0, 1.0, math.inf),
        (1.0, 1.0, 1),
    ],
)
def test_the_more_of_the_pool_is_uncertain_the_longer_nothing_may_change(limit, share, required):
    config = ConvergenceConfig(max_uncertain_share=limit, patience=3)
    assert required_in_a_row(share, config) == required


def test_too_few_iterations_are_not_enough():
    config = ConvergenceConfig(top_k=1, min_iterations=3)
    same = top(rocksalt())
    assert not compare(same, same, 1, config).converged
    assert compare(same, same, 2, config).converged


@pytest.mark.parametrize("seed", range(6))
def test_residual_displacements_hide_no_crystal(seed):
    """Relaxed to 0.05 eV/Å, cells are reduced to primitive ones of different sizes."""
    rng = np.random.default_rng(seed)

    def residual(repeat):
        structure = rocksalt().to_structure() * repeat
        moved = structure.cart_coords + rng.normal(scale=0.03, size=structure.cart_coords.shape)
        cell = structure.lattice.matrix @ (np.eye(3) + rng.normal(scale=0.004, size=(3, 3)))
        atoms = structure.to_ase_atoms()
        atoms.positions = moved
        atoms.set_cell(cell, scale_atoms=True)
        return Crystal.from_atoms(atoms)

    several = [residual(repeat) for repeat in ((1, 1, 1), (2, 2, 2), (4, 2, 1), (2, 2, 1))]
    assert all(same_crystal(one, other) for one in several for other in several)
