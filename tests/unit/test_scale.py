"""What must not grow with a pool: comparisons of crystals, documents, writes."""

from collections.abc import Callable

import bson
import numpy as np
import pytest
from tests.unit.builders import caesium_chloride, rocksalt, zincblende

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Iteration, Label, Relaxation
from pyrite.models import compared, convergence, selection, steps
from pyrite.models.clustering import Clusters
from pyrite.models.matching import find_same
from pyrite.models.names import SHOWN
from pyrite.mongo import to_mongo
from pyrite.workflows.search import search_workflow

EACH_ALONE = 400


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Crystal]:
    """Crystals that were compared with others, in a house where 20 count as many."""
    asked: list[Crystal] = []

    def find(crystal: Crystal, others: list[Crystal]) -> int | None:
        asked.append(crystal)
        return find_same(crystal, others)

    monkeypatch.setattr(compared, "MANY", 20)
    monkeypatch.setattr(convergence, "find_same", find)
    monkeypatch.setattr(selection, "find_same", find)
    return asked


def dust(points: np.ndarray, eps: float = 0.5) -> Clusters:
    """Every candidate in a group of its own."""
    return Clusters(np.arange(len(points)), 0, len(points), eps, points)


def one_crystal_and_another() -> tuple[np.ndarray, list[Crystal]]:
    """Descriptors and crystals: copies of rocksalt, then one other, far away."""
    points = np.random.default_rng(0).uniform(0, 0.1, (EACH_ALONE, 3))
    points[-1] = 5.0
    return points, [*[rocksalt()] * (EACH_ALONE - 1), zincblende()]


def test_copies_of_one_minimum_are_compared_for_a_while_only(counted: list[Crystal]) -> None:
    points, crystals = one_crystal_and_another()
    names = [f"c{k}" for k in range(EACH_ALONE)]
    energies = np.linspace(-4, -3, EACH_ALONE).tolist()
    top = convergence.top_clusters(names, energies, crystals, dust(points), 3)
    assert [one.candidate_id for one in top] == ["c0", f"c{EACH_ALONE - 1}"]
    assert len(counted) == 21


def test_copies_of_a_labelled_minimum_are_compared_for_a_while_only(
    counted: list[Crystal],
    make_relaxation: Callable[..., Relaxation],
    make_label: Callable[..., Label],
) -> None:
    points, crystals = one_crystal_and_another()
    pool = [
        make_relaxation(f"c{k:05d}", energy=-3.5 + 1e-6 * k, crystal=one)
        for k, one in enumerate(crystals)
    ]
    config = SearchConfig(composition="Na4Cl4")
    labels = [make_label("c99999", crystal=one) for one in (caesium_chloride(), rocksalt())]
    picks = selection.select(pool, dust(points), config, 1, labels)
    assert [one.candidate_id for one in picks] == [f"c{EACH_ALONE - 1:05d}"]
    assert len(counted) == 21, "also across the lists that are drawn from"


def test_a_verdict_reaches_no_further_than_the_radius(counted: list[Crystal]) -> None:
    points, crystals = one_crystal_and_another()
    names, energies = [f"c{k}" for k in range(EACH_ALONE)], [0.0] * EACH_ALONE
    convergence.top_clusters(names, energies, crystals, dust(points, eps=1e-6), 3)
    assert len(counted) == EACH_ALONE


def ended(make_relaxation: Callable[..., Relaxation], size: int) -> Iteration:
    kinds = [rocksalt(), zincblende(), caesium_chloride()]
    pool = [
        make_relaxation(
            f"c{k:05d}",
            energy=-3.5 + 0.1 * (k % 3) + 1e-7 * k,
            crystal=kinds[k % 3],
            descriptor=(float(k % 3), 1e-3 * (k % 7)),
        )
        for k in range(size)
    ]
    begun = Iteration(search_id="test", iteration=1, picks=())
    config = SearchConfig(composition="Na4Cl4")
    return steps.conclude(config, steps.cluster_and_select(config, begun, pool, []), pool, [])


def test_what_an_iteration_keeps_does_not_grow_with_the_pool(
    make_relaxation: Callable[..., Relaxation],
) -> None:
    small, large = (
        len(bson.encode(to_mongo(ended(make_relaxation, size)))) for size in (SHOWN, 4 * SHOWN)
    )
    assert large < 1.2 * small < 100_000


def test_no_firework_grows_with_the_pool_or_the_labels() -> None:
    def sizes(pool: int, labels: int) -> list[int]:
        config = SearchConfig.model_validate(
            {
                "composition": "Si16",
                "name": "large",
                "pool": {"size": pool},
                "selection": {"first_labels": labels},
                "execution": {"labels_per_task": 1, "candidates_per_task": 1000},
            }
        )
        fireworks = search_workflow(config).fws
        return [len(bson.encode(one.to_db_dict())) for one in fireworks]

    small, large = sizes(100, 10), sizes(100_000, 1000)
    assert len(large) > 1000
    assert max(large) < max(small) + 100
