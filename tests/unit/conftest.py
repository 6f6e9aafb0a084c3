"""Records and networks that many unit tests build on."""

from collections.abc import Callable

import pytest
from tests.unit.builders import rocksalt

from pyrite.config import SearchConfig, SurrogateConfig
from pyrite.documents import (
    Choice,
    Crystal,
    Label,
    LabelStatus,
    Provenance,
    Relaxation,
    Rest,
    StopReason,
)
from pyrite.models.ensemble import Ensemble
from pyrite.models.networks import build_network


@pytest.fixture
def config() -> SearchConfig:
    """A small NaCl search."""
    return SearchConfig(composition="Na4Cl4", name="test")


@pytest.fixture(scope="session")
def surrogate() -> SurrogateConfig:
    """A network small enough for finite differences."""
    return SurrogateConfig(members=2, features=8, interactions=2, radial_basis=8, cutoff=4.0)


@pytest.fixture(scope="session")
def ensemble(surrogate: SurrogateConfig) -> Ensemble:
    """Two untrained members."""
    return Ensemble([build_network(surrogate, seed) for seed in (0, 1)], surrogate.cutoff)


@pytest.fixture
def make_label(make_label_once: Callable[..., Label]) -> Callable[..., Label]:
    """The same for fixtures of one test."""
    return make_label_once


@pytest.fixture(scope="session")
def make_label_once() -> Callable[..., Label]:
    """Labels with a plausible default for every field."""

    def make(candidate_id: str = "c00000", energy: float = -7.0, **fields: object) -> Label:
        crystal = fields.pop("crystal", rocksalt())
        assert isinstance(crystal, Crystal)
        defaults: dict[str, object] = {
            "search_id": "test",
            "iteration": 0,
            "choice": Choice.RANDOM,
            "status": LabelStatus.OK,
            "forces": ((0.0, 0.0, 0.0),) * len(crystal.numbers),
            "stress": ((0.0, 0.0, 0.0),) * 3,
            "provenance": Provenance(
                engine="test", engine_version="1", seconds=1.0, reference_calls=1
            ),
        }
        return Label(
            candidate_id=candidate_id, energy=energy, crystal=crystal, **{**defaults, **fields}
        )

    return make


@pytest.fixture
def make_rest() -> Callable[..., Rest]:
    """Ends of uncertain candidates, with a plausible default for every field but the energy."""

    def make(energy: float, **fields: object) -> Rest:
        defaults: dict[str, object] = {
            "stop": StopReason.CONVERGED,
            "energy_spread": 0.01,
            "uncertainty": 0.1,
            "descriptor": (0.0, 0.0),
            "crystal": rocksalt(),
        }
        return Rest(energy=energy, **{**defaults, **fields})

    return make


@pytest.fixture
def make_relaxation() -> Callable[..., Relaxation]:
    """Relaxations with a plausible default for every field."""

    def make(candidate_id: str = "c00000", energy: float = -3.5, **fields: object) -> Relaxation:
        defaults: dict[str, object] = {
            "search_id": "test",
            "iteration": 0,
            "stop": StopReason.CONVERGED,
            "steps": 10,
            "energy_spread": 0.01,
            "fmax": 0.04,
            "uncertainty": 0.1,
            "descriptor": (0.0, 0.0),
            "crystal": rocksalt(),
        }
        return Relaxation(candidate_id=candidate_id, energy=energy, **{**defaults, **fields})

    return make
