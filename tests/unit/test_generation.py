"""The pool: determinism, composition, distances over periodic images, and every refusal."""

import itertools
import os
import random
import subprocess
import sys
import time
import warnings
from collections import Counter

import numpy as np
import pytest
from ase.data import chemical_symbols
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from pyrite.config import SearchConfig
from pyrite.documents import Candidate, Crystal, Origin, Role
from pyrite.errors import ConfigError, GenerationError, PyriteError
from pyrite.models.composition import cell_content
from pyrite.models.generation import (
    draw_pool,
    generate_pool,
    minimum_distances,
    random_candidate,
    volume_range,
)

COMPOSITIONS = ["Si8", "Na4Cl4", "Al4O6", "Ti2O4"]


def search(composition: str = "NaCl", *, seed: int = 1, **pool: object) -> SearchConfig:
    return SearchConfig.model_validate({"composition": composition, "seed": seed, "pool": pool})


def shortest_distances(crystal: Crystal) -> dict[frozenset[str], float]:
    """By brute force over many images, with nothing of the code under test."""
    cell = np.array(crystal.cell)
    positions = np.array(crystal.positions)
    symbols = [chemical_symbols[number] for number in crystal.numbers]
    heights = abs(np.linalg.det(cell)) / np.array(
        [np.linalg.norm(np.cross(cell[i - 2], cell[i - 1])) for i in range(3)]
    )
    scaled = positions @ np.linalg.inv(cell)
    reach = [int(np.ceil(5.0 / height)) + 1 for height in heights]
    shifts = np.array(list(itertools.product(*[range(-n, n + 1) for n in reach])))
    shortest: dict[frozenset[str], float] = {}
    for i, j in itertools.product(range(len(symbols)), repeat=2):
        difference = scaled[j] - scaled[i]
        images = (difference - np.round(difference) + shifts) @ cell
        lengths = np.linalg.norm(images, axis=1)
        if i == j:
            lengths = lengths[lengths > 1e-9]
        pair = frozenset((symbols[i], symbols[j]))
        shortest[pair] = min(shortest.get(pair, np.inf), lengths.min())
    return shortest


@pytest.fixture(scope="module", params=COMPOSITIONS)
def pool(request) -> tuple[SearchConfig, list[Candidate]]:
    config = search(request.param, size=40)
    return config, generate_pool(config)


def test_content_and_order_of_atoms(pool):
    config, candidates = pool
    content = cell_content(config.composition)
    expected = [element for element, amount in content.items() for _ in range(amount)]
    for candidate in candidates:
        assert [chemical_symbols[number] for number in candidate.crystal.numbers] == expected


def test_distances_are_kept_over_periodic_images(pool):
    config, candidates = pool
    required = minimum_distances(cell_content(config.composition), config.pool)
    for candidate in candidates:
        found = shortest_distances(candidate.crystal)
        for pair, minimum in required.items():
            assert found[frozenset(pair)] >= minimum - 1e-9, (candidate.candidate_id, pair)


def test_volumes_lie_in_the_range(pool):
    config, candidates = pool
    low, high = volume_range(cell_content(config.composition))
    volumes = [candidate.crystal.volume_per_atom for candidate in candidates]
    assert low - 1e-9 <= min(volumes)
    assert max(volumes) <= high + 1e-9
    assert max(volumes) - min(volumes) > 0.5 * (high - low)


def test_candidates_differ(pool):
    _, candidates = pool
    assert len({candidate.crystal.cell for candidate in candidates}) == len(candidates)
    assert len({candidate.crystal.positions for candidate in candidates}) == len(candidates)


def test_given_volume_angles_and_lengths_are_obeyed():
    config = search(
        "Si8", size=20, symmetric_share=0, volume_per_atom=(30, 31), angles=(80, 85),
        length_ratio=(1, 1.1),
    )  # fmt: skip
    for candidate in generate_pool(config):
        parameters = candidate.crystal.to_atoms().cell.cellpar()
        assert 30 <= candidate.crystal.volume_per_atom <= 31
        assert (parameters[3:] >= 80 - 1e-6).all()
        assert (parameters[3:] <= 85 + 1e-6).all()
        assert parameters[:3].max() / parameters[:3].min() <= 1.1 + 1e-6


def test_p1_cells_are_never_flat():
    config = search("Si8", size=60, symmetric_share=0, angles=(40, 140))
    for candidate in generate_pool(config):
        cell = np.array(candidate.crystal.cell)
        lengths = np.linalg.norm(cell, axis=1)
        assert abs(np.linalg.det(cell)) / lengths.prod() >= 0.3 - 1e-9


def test_the_same_seed_gives_the_same_pool_and_another_seed_another():
    first = generate_pool(search("Al4O6", size=12))
    assert first == generate_pool(search("Al4O6", size=12))
    other = generate_pool(search("Al4O6", size=12, seed=2))
    assert not {one.crystal.cell for one in first} & {one.crystal.cell for one in other}


def test_a_candidate_depends_neither_on_the_pool_size_nor_on_the_others():
    small, large = generate_pool(search(size=6)), generate_pool(search(size=14))
    assert large[:6] == small
    assert random_candidate(search(size=14), Role.TRAIN, 11) == large[11]


def test_a_pool_that_was_drawn_in_part_is_completed():
    config = search("NaCl", size=12)
    start = [random_candidate(config, Role.TRAIN, 99).crystal]
    whole = generate_pool(config, start)
    there = {one.candidate_id for one in whole[::3]}
    rest = list(draw_pool(config, start, there=there))
    assert rest == [one for one in whole if one.candidate_id not in there]
    assert len(rest) == len(whole) - len(there)


def test_global_random_state_is_neither_read_nor_changed():
    config = search("Ti2O4", symmetric_share=1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first = [random_candidate(config, Role.TRAIN, index) for index in range(6)]
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    states = str(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert first == [random_candidate(config, Role.TRAIN, index) for index in range(6)]
    assert states == (str(np.random.get_state()), random.getstate())  # noqa: NPY002


def test_another_process_with_another_hash_seed_draws_the_same():
    code = (
        "from pyrite.config import SearchConfig\n"
        "from pyrite.models.generation import generate_pool\n"
        "config = SearchConfig(composition='Al2O3', pool={'size': 8})\n"
        "print([one.crystal.positions for one in generate_pool(config)])"
    )
    here = str([one.crystal.positions for one in generate_pool(search("Al2O3", size=8))])
    there = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here
    assert there.stderr == ""


@pytest.mark.parametrize(("share", "expected"), [(0, 0), (0.1, 3), (0.5, 15), (0.7, 21), (1, 30)])
def test_the_symmetric_share_holds_and_is_interleaved(share, expected):
    pool = generate_pool(search("Si8", size=30, symmetric_share=share))
    origins = [candidate.origin for candidate in pool]
    assert origins.count(Origin.SYMMETRIC) == expected
    assert origins.count(Origin.P1) == 30 - expected
    assert abs(origins[:10].count(Origin.SYMMETRIC) - expected / 3) < 1


def test_symmetric_candidates_have_their_symmetry_until_they_are_rattled():
    def numbers(rattle: float) -> list[int]:
        config = search("Na4Cl4", size=30, symmetric_share=1, rattle=rattle)
        return [
            SpacegroupAnalyzer(one.crystal.to_structure(), symprec=1e-3).get_space_group_number()
            for one in generate_pool(config)
        ]

    kept = numbers(0.0)
    assert min(kept) >= 2
    assert len(set(kept)) > 10
    assert set(numbers(0.1)) == {1}


def test_centred_groups_give_conventional_and_primitive_cells():
    kinds: Counter[bool] = Counter()
    for candidate in generate_pool(search("Si8", size=60, symmetric_share=1, rattle=0)):
        structure = candidate.crystal.to_structure()
        if SpacegroupAnalyzer(structure, symprec=1e-3).get_space_group_symbol()[0] != "P":
            kinds[len(structure.get_primitive_structure()) == 8] += 1
    assert kinds[True] > 5  # the content is that of the primitive cell
    assert kinds[False] > 5


@pytest.mark.parametrize("most", [2, 5])
def test_no_symmetric_start_has_more_orbits_than_allowed(most):
    for content in ("Si16", "Al4O6"):
        config = search(content, size=12, symmetric_share=1, rattle=0, max_orbits=most)
        for candidate in generate_pool(config):
            crystal = SpacegroupAnalyzer(candidate.crystal.to_structure(), symprec=1e-4)
            assert len(crystal.get_symmetrized_structure().equivalent_indices) <= most


def test_an_orbit_bound_that_nothing_meets_is_named():
    with pytest.raises(GenerationError, match=r"at most 1 orbits .* raise pool\.max_orbits"):
        generate_pool(search("Al4O6", size=2, symmetric_share=1, max_orbits=1, max_attempts=300))


def test_rattling_displaces_by_the_given_width():
    plain = search("Na4Cl4", size=30, symmetric_share=1, rattle=0)
    rattled = search("Na4Cl4", size=30, symmetric_share=1, rattle=0.05)
    shifts = [
        np.array(b.crystal.positions) - np.array(a.crystal.positions)
        for a, b in zip(generate_pool(plain), generate_pool(rattled), strict=True)
        if a.crystal.cell == b.crystal.cell
    ]
    assert len(shifts) > 15
    assert np.std(shifts) == pytest.approx(0.05, rel=0.15)
    assert np.abs(shifts).min() > 0


def test_nothing_is_printed_or_warned(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate_pool(search("Al4O6", size=10, symmetric_share=1, seed=3))
    assert capfd.readouterr() == ("", "")


def test_ids_roles_and_target():
    config = SearchConfig.model_validate(
        {
            "composition": "Si8",
            "name": "clathrate",
            "pool": {"size": 3},
            "target": {"composition": "Si46", "pool": {"size": 2, "symmetric_share": 0}},
        }
    )
    pool = generate_pool(config)
    assert [one.candidate_id for one in pool] == ["c00000", "c00001", "c00002", "t00000", "t00001"]
    assert [one.role for one in pool] == [Role.TRAIN] * 3 + [Role.TARGET] * 2
    assert [len(one.crystal.numbers) for one in pool] == [8, 8, 8, 46, 46]
    assert {one.search_id for one in pool} == {"clathrate"}
    assert generate_pool(search(size=2))[0].search_id == "search"


def test_target_and_training_candidates_of_one_content_differ():
    settings = {"composition": "Si8", "pool": {"size": 4}, "target": {"composition": "Si8"}}
    config = SearchConfig.model_validate(settings)
    for index in range(4):
        train = random_candidate(config, Role.TRAIN, index)
        assert train.crystal != random_candidate(config, Role.TARGET, index).crystal


def test_a_missing_target_is_refused():
    with pytest.raises(ConfigError, match=r"no target: add target\.composition"):
        random_candidate(search(), Role.TARGET, 0)


@pytest.mark.parametrize("key", ["Na-Cl", "Cl-Na", " Cl - Na "])
def test_given_distances_count_in_either_order(key):
    config = search(size=6, minimum_distances={key: 2.6})
    assert minimum_distances({"Na": 4, "Cl": 4}, config.pool)["Na", "Cl"] == 2.6
    for candidate in generate_pool(config):
        assert shortest_distances(candidate.crystal)[frozenset(("Na", "Cl"))] >= 2.6 - 1e-9


# ---------------------------------------------------------------- impossible constraints


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ({"minimum_distances": {"Na-Na": 9.0}}, "Na-Na above 9.00 Å in any arrangement"),
        ({"volume_per_atom": (1, 2)}, "Å³/atom keeps Na-Na above"),
        ({"minimum_distances": {"Cl-Na": 6}, "symmetric_share": 0}, "no cell.*Na-Cl above 6.00 Å"),
        ({"minimum_distances": {"Cl-Na": 6}, "symmetric_share": 1}, "no symmetric cell.*Na-Cl"),
        ({"minimum_distances": {"Na-Na": 4.2}, "symmetric_share": 0}, "Na-Na above 4.20 Å in 5"),
    ],
)
def test_impossible_distances_are_refused_within_seconds(pool, expected):
    started = time.perf_counter()
    with pytest.raises(GenerationError, match=expected) as caught:
        generate_pool(search("Na4Cl4", **pool))
    assert time.perf_counter() - started < 15
    for part in ("Na4Cl4", "lower pool.minimum_distances", "raise pool.volume_per_atom"):
        assert part in str(caught.value)


def test_the_early_check_costs_no_attempts():
    started = time.perf_counter()
    with pytest.raises(GenerationError, match="in any arrangement"):
        generate_pool(search(size=2, minimum_distances={"Cl-Cl": 40.0}, max_attempts=10**9))
    assert time.perf_counter() - started < 1


def test_close_packing_itself_passes_the_early_check():
    nearest = (np.sqrt(2) * 20) ** (1 / 3)  # fcc at 20 Å³/atom
    pool = {"size": 2, "volume_per_atom": (20, 20), "max_attempts": 5, "symmetric_share": 0}
    with pytest.raises(GenerationError, match=r"in .* attempts"):
        generate_pool(search("Si8", minimum_distances={"Si-Si": nearest - 0.01}, **pool))
    with pytest.raises(GenerationError, match=r"at 20 Å³/atom .* in any arrangement"):
        generate_pool(search("Si8", minimum_distances={"Si-Si": nearest + 0.01}, **pool))


def test_short_lattice_translations_are_refused():
    # One atom has no neighbours but its own images.
    config = search("Po", size=10, symmetric_share=0, minimum_distances={"Po-Po": 3.0})
    config = config.model_copy(update={"formula_units": 1})
    for candidate in generate_pool(config):
        assert len(candidate.crystal.numbers) == 1
        assert shortest_distances(candidate.crystal)[frozenset({"Po"})] >= 3.0 - 1e-9


def test_impossible_angles_are_named():
    with pytest.raises(GenerationError, match=r"angles of 20-25 degrees .* bring pool.angles"):
        generate_pool(search("Si8", size=2, symmetric_share=0, angles=(20, 25)))


def test_a_rattle_that_no_crystal_survives_is_named():
    pool = {"symmetric_share": 1, "rattle": 1.0, "volume_per_atom": (25, 25), "max_attempts": 500}
    with pytest.raises(GenerationError, match=r"rattled by 1 Å .* lower pool\.rattle"):
        generate_pool(search("Si64", size=20, minimum_distances={"Si-Si": 1.9}, **pool))


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ({"Si-Si": 5}, r"lower target\.pool\.minimum_distances"),
        ({"Si-O": 2}, r"^target\.pool\.minimum_distances has the key 'Si-O'"),
        ({"Si-Si": 2, "Si - Si": 3}, r"^target\.pool\.minimum_distances gives 'Si - Si' twice"),
    ],
)
def test_errors_of_the_target_name_its_section(distances, expected):
    config = SearchConfig.model_validate(
        {
            "composition": "Si8",
            "pool": {"size": 2},
            "target": {"composition": "Si46", "pool": {"minimum_distances": distances}},
        }
    )
    with pytest.raises(PyriteError, match=expected):
        generate_pool(config)
