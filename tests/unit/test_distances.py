"""Default volumes against known crystals, and how near atoms may come."""

import math
import warnings

import pytest

from pyrite.config import SearchConfig
from pyrite.errors import ConfigError
from pyrite.models.composition import cell_content
from pyrite.models.generation import generate_pool, minimum_distances, volume_range
from pyrite.pool_config import PoolConfig

# Å³/atom at ambient conditions
KNOWN_VOLUMES = {
    "Si": 20.0, "NaCl": 22.4, "GaAs": 22.6, "Al2O3": 8.5, "MgO": 9.4, "TiO2": 10.4, "Cu": 11.8,
    "Fe": 11.7, "ZnS": 19.8, "SrTiO3": 11.9, "CsCl": 34.0, "LiF": 8.1,
}  # fmt: skip


def search(composition: str = "NaCl", *, seed: int = 1, **pool: object) -> SearchConfig:
    return SearchConfig.model_validate({"composition": composition, "seed": seed, "pool": pool})


@pytest.mark.parametrize(("composition", "volume"), KNOWN_VOLUMES.items())
def test_default_volumes_cover_known_crystals(composition, volume):
    low, high = volume_range(cell_content(composition))
    assert low <= volume <= high
    assert high / low == pytest.approx(1.4 / 0.9)


def test_default_volume_does_not_depend_on_the_size_of_the_cell():
    assert volume_range({"Al": 4, "O": 6}) == pytest.approx(volume_range({"O": 24, "Al": 16}))


@pytest.mark.parametrize(
    "composition", ["Cs2O", "U3O", "H2O", "LaH10", "Na3Cl", "Xe", "XeF2", "At", "BkO2", "CuZn"]
)
def test_odd_compositions_have_usable_defaults(composition):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool = generate_pool(search(composition, size=4))
    assert len(pool) == 4


def test_default_distances_scale_with_radii():
    content = {"Ga": 4, "As": 4}
    distances = minimum_distances(content, PoolConfig())
    assert list(distances) == [("Ga", "Ga"), ("Ga", "As"), ("As", "As")]
    assert distances["Ga", "As"] == pytest.approx(0.9 * (1.22 + 1.19))
    nearer = minimum_distances(content, PoolConfig(minimum_distance_scale=0.75))
    assert nearer["Ga", "As"] == pytest.approx(0.75 * (1.22 + 1.19))


@pytest.mark.parametrize("composition", ["Cu8", "K8", "Na4Cl4", "Ba2Ti2O6"])
def test_spheres_of_the_default_distances_leave_room_for_random_places(composition):
    content = cell_content(composition)
    distances = minimum_distances(content, PoolConfig())
    volume = sum(content.values()) * sum(volume_range(content)) / 2
    spheres = sum(n * math.pi / 6 * distances[one, one] ** 3 for one, n in content.items())
    assert spheres < 0.38 * volume  # where random places run out
    assert len(generate_pool(search(composition, size=16))) == 16


def test_anions_keep_away_from_each_other():
    assert minimum_distances({"Al": 4, "O": 6}, PoolConfig())["O", "O"] >= 1.6
    assert minimum_distances({"Na": 4, "Cl": 4}, PoolConfig())["Cl", "Cl"] >= 2.1
    assert minimum_distances({"O": 8}, PoolConfig())["O", "O"] < 1.21
    sulfate = minimum_distances({"Ca": 1, "S": 1, "O": 4}, PoolConfig())
    assert sulfate["S", "O"] < 1.05 * 1.49
    assert sulfate["O", "O"] >= 1.6


def test_default_distances_allow_the_known_bonds():
    bonds = {"Si8": 2.35, "Na4Cl4": 2.81, "Al4O6": 1.85, "Ti2O4": 1.95, "Cu8": 2.55, "U8": 2.75}
    for composition, bond in bonds.items():
        content = cell_content(composition)
        first, last = next(iter(content)), next(reversed(content))
        assert minimum_distances(content, PoolConfig())[first, last] < bond


@pytest.mark.parametrize("key", ["Na-K", "NaCl", "Na", "Na-Cl-Na", "Na-Xx", "", "-"])
def test_unknown_pairs_are_refused(key):
    with pytest.raises(ConfigError, match="minimum_distances has the key") as caught:
        generate_pool(search(size=2, minimum_distances={key: 2.0}))
    assert repr(key) in str(caught.value)
    assert "Na, Cl" in str(caught.value)


def test_a_pair_given_twice_is_refused():
    with pytest.raises(ConfigError, match="gives 'Cl-Na' twice, as 2 and 3 Å"):
        generate_pool(search(size=2, minimum_distances={"Na-Cl": 2.0, "Cl-Na": 3.0}))
