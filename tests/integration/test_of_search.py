"""Rows of the benchmark that are read from a search in a store."""

import pytest
from tests.integration import records
from tests.unit.builders import caesium_chloride, rocksalt

from benchmarks.efficiency_rows import configuration
from benchmarks.of_search import row_of
from pyrite.config import SearchConfig
from pyrite.documents import Search, SearchState
from pyrite.errors import ConfigError
from pyrite.results import Ledger
from pyrite.store import Store

PRESET = configuration("na8cl8", "fast", "sevennet", 3)


def fill(store: Store, config: SearchConfig) -> None:
    store.create_search(Search(search_id="s", config=config, created=100.0))
    store.put_labels([records.label(n, iteration=k) for n, k in ((0, 0), (1, 0), (2, 2))])
    for k in range(3):
        store.put_iteration(records.iteration(k))
    store.put_validation(records.validation())
    result = records.result()
    first = result.ranking[0].model_copy(update={"crystal": rocksalt()})
    changes = {"ledger": Ledger(reference_calls=12), "ranking": (first,)}
    store.put_result(result.model_copy(update=changes))


def test_a_row_is_what_the_store_says(store: Store) -> None:
    fill(store, PRESET.model_copy(update={"name": "s"}))
    with pytest.raises(ConfigError, match="s has no ranking: it is waiting"):
        row_of(store, "s", "na8cl8", "fast", rocksalt(), -3.1)
    store.set_state("s", SearchState.DONE, finished=160.0)
    row = row_of(store, "s", "na8cl8", "fast", caesium_chloride(), -3.1)
    assert (row["found"], row["reference_calls"], row["seconds"]) == (False, 12, 60.0)
    calls = [one["reference_calls"] for one in row["curve"]]
    assert calls == [6, 6, 12], "three for each label, and for the validation of the last iteration"
    assert row_of(store, "s", "na8cl8", "fast", rocksalt(), -3.1)["found"]


def test_another_search_is_no_row_of_a_preset(store: Store) -> None:
    fill(store, PRESET.model_copy(update={"composition": "Na4Cl4"}))
    with pytest.raises(ConfigError, match=r"other settings than na8cl8 \(fast\)"):
        row_of(store, "s", "na8cl8", "fast", rocksalt(), -3.1)
