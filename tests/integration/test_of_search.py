"""Rows of the benchmark that are read from a search in a store."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration import records
from tests.unit.builders import caesium_chloride, rocksalt

from benchmarks.discovery import Discovery
from benchmarks.efficiency_rows import configuration
from benchmarks.of_search import require_preset, row_of
from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Search, SearchState, TopCluster
from pyrite.errors import ConfigError
from pyrite.results import Ledger
from pyrite.store import Store

PRESET = configuration("na8cl8", "fast", "sevennet", 3)
TOP = (TopCluster(candidate_id="c0001", energy=-3.0, size=1, crystal=rocksalt()),)


class Stub:
    """Relaxes nothing, in seven calls."""

    def static(self, crystal: Crystal) -> Any:
        raise NotImplementedError

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> Any:
        energy = -3.1 * len(crystal.numbers)
        return SimpleNamespace(crystal=crystal, energy=energy, calls=7, converged=True)


def of(store: Store, ground: Crystal) -> dict[str, Any]:
    return row_of(store, "s", Discovery(Stub(), ground, -3.1))


def fill(store: Store, config: SearchConfig) -> None:
    store.create_search(Search(search_id="s", config=config, created=100.0))
    store.put_labels([records.label(n, iteration=k) for n, k in ((0, 0), (1, 0), (2, 2))])
    for k in range(3):
        store.put_iteration(records.iteration(k, top=TOP))
    store.put_validation(records.validation())
    result = records.result()
    first = result.ranking[0].model_copy(update={"crystal": rocksalt()})
    changes = {"ledger": Ledger(reference_calls=12), "ranking": (first,)}
    store.put_result(result.model_copy(update=changes))


def test_a_row_is_what_the_store_says(store: Store) -> None:
    fill(store, PRESET.model_copy(update={"name": "s"}))
    with pytest.raises(ConfigError, match="s is waiting"):
        of(store, rocksalt())
    store.set_state("s", SearchState.DONE, finished=160.0)
    row = of(store, caesium_chloride())
    assert (row["found"], row["reference_calls"], row["seconds"]) == (False, 12, 2.0)
    calls = [one["reference_calls"] for one in row["curve"]]
    assert calls == [6, 6, 12], "three for each label, and for the validation of the last iteration"
    row = of(store, rocksalt())
    assert row["found"]
    assert row["reference_calls_first_found"] == 6 + 7, "two labels, and a relaxation"
    assert row["reference_calls_known"] == 12, "no label has its energy"


def test_a_search_that_failed_is_a_row_too(store: Store) -> None:
    store.create_search(Search(search_id="s", config=PRESET, created=100.0))
    store.put_labels([records.label()])
    store.put_iteration(records.iteration())
    store.set_state("s", SearchState.FAILED, error="every candidate broke", finished=160.0)
    row = of(store, rocksalt())
    assert (row["found"], row["error"], row["reference_calls"]) == (
        False,
        "every candidate broke",
        3,
    )
    assert row["curve"] == []


def test_another_search_is_no_row_of_a_preset() -> None:
    other = PRESET.model_copy(update={"composition": "Na4Cl4"})
    with pytest.raises(ConfigError, match=r"other settings than na8cl8 \(fast\)"):
        require_preset(other, "na8cl8", "fast")
    require_preset(PRESET, "na8cl8", "fast")
