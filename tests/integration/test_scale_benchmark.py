"""That the benchmark of large pools measures what it says, on a small one."""

from typing import TYPE_CHECKING

import pytest

from benchmarks import scale
from pyrite.firetasks import loop
from pyrite.store import Store

if TYPE_CHECKING:
    from pyrite.launchers.local_store import LocalStore


def test_both_tasks_read_the_pool_and_decide(
    embedded_store: "LocalStore", database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LABELS", 40), ("DISTINCT", 12), ("DATABASE", database_name)):
        monkeypatch.setattr(scale, name, value)
    for name in ("is_added", "iteration", "validation"):  # the benchmark replaces them
        monkeypatch.setattr(loop, name, getattr(loop, name))
    with Store.connect(embedded_store.uri, database_name) as store:
        scale.fill(store, 80, "clumps")
        for kind in scale.TASKS:
            told = scale.task(embedded_store.uri, kind)
            assert told["top"] > 0, kind
            assert told["picks"] > 0, kind
        assert store.iteration(scale.NAME, 1).convergence is not None
        store.database.client.drop_database(database_name)
