import numpy as np
import pytest
from tests.unit.builders import caesium_chloride, random_crystal, rocksalt, zincblende

from pyrite.config import SearchConfig
from pyrite.documents import Candidate, Choice, LabelStatus, Origin, Role, StopReason
from pyrite.models.clustering import Clusters
from pyrite.models.selection import (
    SAME_END,
    anchors,
    displace,
    first_picks,
    label_count,
    predecessor,
    score,
    select,
)


def settings(**selection: object) -> SearchConfig:
    return SearchConfig(composition="Na4Cl4", selection={"growth": None, **selection})


def each_alone(count: int) -> Clusters:
    return Clusters(np.arange(count), 0, count, 0.5)


def pool(count: int, role: Role = Role.TRAIN) -> list[Candidate]:
    return [
        Candidate(
            search_id="test",
            candidate_id=f"c{k:05d}",
            role=role,
            origin=Origin.P1,
            crystal=random_crystal(k),
        )
        for k in range(count)
    ]


def test_first_picks_are_random_distinct_and_as_generated():
    candidates = pool(20) + pool(3, Role.TARGET)
    picks = first_picks(candidates, settings(first_labels=8))
    ids = [pick.candidate_id for pick in picks]
    assert len(set(ids)) == 8
    assert ids != [f"c{k:05d}" for k in range(8)]
    by_id = {one.candidate_id: one for one in candidates[:20]}
    assert all(pick.crystal == by_id[pick.candidate_id].crystal for pick in picks)
    assert picks == first_picks(candidates, settings(first_labels=8))


def test_a_pool_smaller_than_the_first_labels_is_labelled_whole():
    assert len(first_picks(pool(3), settings(first_labels=8))) == 3


def test_the_score_prefers_low_energy_and_large_forces(make_relaxation):
    assert score(make_relaxation(energy=-1.0, fmax=2.0), 0.5) == pytest.approx(-2.0)


def test_shares_go_to_their_lists_and_groups_are_used_once(make_relaxation):
    relaxations = [
        make_relaxation(
            f"c{k:05d}",
            energy=-float(k),
            fmax=0.0,
            stop=StopReason.UNCERTAIN if k < 4 else StopReason.CONVERGED,
        )
        for k in range(12)
    ]
    config = settings(labels=6, uncertain_share=0.34, low_energy_share=0.33)
    picks = select(relaxations, each_alone(12), config, 1)
    by_choice = {choice: [p for p in picks if p.choice is choice] for choice in Choice}
    assert [len(by_choice[c]) for c in (Choice.SCORE, Choice.UNCERTAIN, Choice.LOW_ENERGY)] == [
        2,
        2,
        2,
    ]
    assert {p.candidate_id for p in by_choice[Choice.SCORE]} == {"c00011", "c00010"}
    assert {p.candidate_id for p in by_choice[Choice.LOW_ENERGY]} == {"c00009", "c00008"}
    assert {p.candidate_id for p in by_choice[Choice.UNCERTAIN]} <= {f"c{k:05d}" for k in range(4)}


def test_of_the_uncertain_those_are_labelled_first_that_lead_lowest_one_for_each_end(
    make_relaxation, make_rest
):
    ends = {
        "c00000": make_rest(-3.0),
        "c00001": make_rest(-3.4),
        "c00002": make_rest(-3.4 + 0.9 * SAME_END),
        "c00003": make_rest(-3.2),
        "c00004": make_rest(-90.0, energy_spread=0.11),  # a hole that one member invented
        "c00005": None,  # it broke on its way
        "c00006": make_rest(-3.1),
    }
    relaxations = [
        make_relaxation(name, stop=StopReason.UNCERTAIN, ahead=end) for name, end in ends.items()
    ]
    chosen = []
    for labels in range(1, 8):
        config = settings(labels=labels, uncertain_share=1.0, low_energy_share=0.0)
        picks = select(relaxations, each_alone(7), config, 1)
        (new,) = {one.candidate_id for one in picks} - set(chosen)
        chosen.append(new)
    assert chosen[:5] == ["c00001", "c00003", "c00006", "c00000", "c00002"]
    assert set(chosen[5:]) == {"c00004", "c00005"}


def test_ends_that_lie_close_together_are_no_single_end(make_relaxation, make_rest):
    """A chain of energies, each a little above the last one, leads to many ends."""
    energies = [-3.4] * 20 + [-3.4 + 0.4 * SAME_END * k for k in range(1, 81)]
    relaxations = [
        make_relaxation(f"c{k:05d}", stop=StopReason.UNCERTAIN, ahead=make_rest(energy))
        for k, energy in enumerate(energies)
    ]
    config = settings(labels=10, uncertain_share=1.0, low_energy_share=0.0)
    picks = select(relaxations, each_alone(100), config, 1)
    lowest = [one for one in picks if int(one.candidate_id[1:]) < 20]
    assert (len(picks), len(lowest)) == (10, 1)


def test_a_share_of_the_labels_may_be_drawn_from_the_whole_pool(make_relaxation):
    relaxations = [make_relaxation(f"c{k:05d}", energy=-float(k)) for k in range(400)]
    config = settings(labels=100, uncertain_share=0.0, low_energy_share=0.0, random_share=1.0)
    picks = select(relaxations, each_alone(400), config, 1)
    assert {one.choice for one in picks} == {Choice.RANDOM}
    assert len({one.candidate_id for one in picks}) == 100
    ranks = [int(one.candidate_id[1:]) for one in picks]
    assert np.mean(ranks) == pytest.approx(199.5, abs=4 * 400 / np.sqrt(12 * 100))
    again = select(relaxations, each_alone(400), config, 2)
    assert {one.candidate_id for one in again} != {one.candidate_id for one in picks}


@pytest.mark.parametrize(("so_far", "count"), [(0, 1), (15, 8), (23, 12), (40, 20), (400, 25)])
def test_labels_may_grow_with_their_number_up_to_a_limit(make_label, so_far, count):
    labels = [make_label(f"l{k:05d}") for k in range(so_far)]
    labels.append(make_label("l99999", status=LabelStatus.FAILED))
    assert label_count(settings(labels=25, growth=0.5).selection, labels) == count
    assert label_count(settings(labels=25).selection, labels) == 25


def test_fewer_labels_are_shared_out_as_more_would_be(make_relaxation, make_label):
    relaxations = [
        make_relaxation(f"c{k:05d}", stop=StopReason.UNCERTAIN if k < 8 else StopReason.CONVERGED)
        for k in range(40)
    ]
    labels = [make_label(f"l{k:05d}", energy=5.0) for k in range(12)]
    config = settings(labels=25, growth=0.5, uncertain_share=0.5, low_energy_share=0.5)
    picks = select(relaxations, each_alone(40), config, 1, labels)
    assert [pick.choice for pick in picks].count(Choice.UNCERTAIN) == 3
    assert [pick.choice for pick in picks].count(Choice.LOW_ENERGY) == 3
    assert len(picks) == 6


def test_at_most_one_label_per_cluster_and_fewer_clusters_than_labels(make_relaxation):
    relaxations = [make_relaxation(f"c{k:05d}", energy=-float(k)) for k in range(9)]
    clusters = Clusters(np.repeat([0, 1, 2], 3), 3, 0, 0.5)
    picks = select(relaxations, clusters, settings(labels=6), 1)
    assert {p.candidate_id for p in picks} == {"c00002", "c00005", "c00008"}


def test_broken_and_target_candidates_are_never_labelled(make_relaxation):
    relaxations = [
        make_relaxation("c00000", stop=StopReason.COLLAPSED),
        make_relaxation("t00000", role=Role.TARGET),
        make_relaxation("c00001"),
    ]
    picks = select(relaxations, each_alone(3), settings(labels=5), 1)
    assert [p.candidate_id for p in picks] == ["c00001"]


def test_candidates_whose_label_failed_or_was_absurd_are_not_chosen_again(
    make_relaxation, make_label
):
    relaxations = [make_relaxation(f"c{k:05d}", energy=-float(k)) for k in range(4)]
    labels = [
        make_label("c00003", status=LabelStatus.FAILED),
        make_label("c00002", status=LabelStatus.ABSURD),
        make_label("c00001"),
    ]
    picks = select(relaxations, each_alone(4), settings(labels=4), 1, labels)
    assert [one.candidate_id for one in picks] == ["c00000", "c00001"]


@pytest.mark.parametrize(
    ("label", "relaxed", "skip", "chosen"),
    [
        ({}, {}, True, False),
        ({}, {}, False, True),
        ({"energy": -3.48 * 2}, {}, True, True),  # not the energy that the networks expect
        ({"crystal": caesium_chloride()}, {}, True, True),
        ({}, {"stop": StopReason.UNCERTAIN}, True, True),  # on its way to another
        ({"status": LabelStatus.FAILED, "energy": None, "forces": None}, {}, True, True),
    ],
)
def test_a_minimum_that_a_label_has_confirmed_is_not_labelled_again(
    make_relaxation, make_label, label, relaxed, skip, chosen
):
    labels = [make_label("c00007", **label)]
    picks = select(
        [make_relaxation(**relaxed)], each_alone(1), settings(skip_known=skip), 1, labels
    )
    assert bool(picks) is chosen


@pytest.mark.parametrize(
    ("force", "iteration", "refused"),
    [
        (40.0, 1, True),
        (4.0, 1, False),
        (40.0, 0, False),  # a start, which relaxations leave
    ],
)
def test_geometries_that_cannot_be_learned_from_are_not_labelled_again(
    make_relaxation, make_label, force, iteration, refused
):
    forces = ((force, 0.0, 0.0), *((0.0, 0.0, 0.0),) * 7)
    labels = [make_label("c00000", iteration=iteration, forces=forces)]
    picks = select([make_relaxation(energy=-1.0)], each_alone(1), settings(), 1, labels)
    assert bool(picks) is not refused


def test_predicted_forces_that_are_too_large_to_learn_from_are_not_labelled(make_relaxation):
    relaxations = [
        make_relaxation("c00000", fmax=10.1, stop=StopReason.UNCERTAIN),
        make_relaxation("c00001", fmax=9.9, stop=StopReason.UNCERTAIN),
    ]
    picks = select(relaxations, each_alone(2), settings(), 1)
    assert [one.candidate_id for one in picks] == ["c00001"]


def test_a_pool_without_usable_candidates_gives_no_labels(make_relaxation):
    relaxations = [make_relaxation(stop=StopReason.EXPLODED)]
    assert select(relaxations, each_alone(1), settings(), 1) == ()


def test_noise_is_symmetric_bounded_decaying_and_repeatable():
    config = settings(noise=0.4, noise_decay=0.5)
    crystal = random_crystal(1)
    moves = np.concatenate(
        [
            np.array(displace(crystal, config, 1, f"c{k}").positions) - np.array(crystal.positions)
            for k in range(300)
        ]
    )
    assert np.abs(moves).max() <= 0.2
    assert np.abs(moves).max() > 0.19
    assert abs(moves.mean()) < 0.01
    assert displace(crystal, config, 1, "c1") == displace(crystal, config, 1, "c1")
    later = np.array(displace(crystal, config, 4, "c1").positions) - np.array(crystal.positions)
    assert np.abs(later).max() <= 0.4 * 0.5**4


def test_anchors_are_the_lowest_distinct_successful_labels(make_label):
    labels = [
        make_label("c00000", energy=-7.0, crystal=rocksalt(5.7)),
        make_label("c00001", energy=-7.2, crystal=rocksalt(5.6)),
        make_label("a00-c00002", energy=-6.8, crystal=caesium_chloride(), iteration=3),
        make_label("c00003", energy=-6.0, crystal=zincblende()),
        make_label("c00004", energy=None, status=LabelStatus.FAILED, reason="no"),
    ]
    config = SearchConfig(composition="NaCl", relaxation={"anchors": 2})
    found = anchors(labels, config)
    assert [one.candidate_id for one in found] == ["a00-c00001", "a03-c00002"]
    assert all(one.origin is Origin.LABEL for one in found)


def test_anchors_compare_cells_of_different_size_per_atom(make_label):
    large = rocksalt().to_structure() * (2, 1, 1)
    labels = [
        make_label("c00000", energy=-7.0, crystal=caesium_chloride()),
        make_label("c00001", energy=-13.0, crystal=type(rocksalt()).from_structure(large)),
    ]
    config = SearchConfig(composition="NaCl", relaxation={"anchors": 1})
    assert anchors(labels, config)[0].candidate_id == "a00-c00000"


def test_of_anchors_that_would_share_a_name_the_lowest_is_kept(make_label):
    """A candidate and the anchor that its earlier label became may be labelled at once."""
    labels = [
        make_label("a00-c00007", energy=-7.0, crystal=rocksalt(), iteration=1),
        make_label("c00007", energy=-6.8, crystal=zincblende(), iteration=1),
        make_label("c00008", energy=-6.6, crystal=caesium_chloride(), iteration=1),
    ]
    kept = anchors(labels, SearchConfig(composition="NaCl", relaxation={"anchors": 2}))
    assert [(one.candidate_id, one.crystal) for one in kept] == [
        ("a01-c00007", rocksalt()),
        ("a01-c00008", caesium_chloride()),
    ]


def test_an_anchor_that_was_labelled_again_has_a_predecessor(make_relaxation):
    last = {
        key: make_relaxation(key, energy=energy)
        for key, energy in (("c00012", -4.0), ("a01-c00012", -3.0), ("a01-c00007", -5.0))
    }
    anchor = Candidate(
        search_id="test", candidate_id="a02-c00012", origin=Origin.LABEL, crystal=rocksalt()
    )
    assert predecessor(anchor, last) is last["a01-c00012"]
    pool = anchor.model_copy(update={"candidate_id": "c00012", "origin": Origin.P1})
    assert predecessor(pool, last) is last["c00012"]
    new = anchor.model_copy(update={"candidate_id": "a02-c00009"})
    assert predecessor(new, last) is None
