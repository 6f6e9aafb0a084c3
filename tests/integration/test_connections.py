"""Connections to a store, and FireWorks' counters when several make them at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fireworks import Firework, LaunchPad, ScriptTask

from pyrite.counters import initialise, use_safe_counters
from pyrite.documents import ShardCost
from pyrite.errors import StoreError
from pyrite.launchers.local_store import LocalStore, connect
from pyrite.launchers.processes import HOST, free_port
from pyrite.settings import settings


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStore]:
    """A store that was never started."""
    local = LocalStore(tmp_path)
    yield local
    local.stop()


def test_connecting_starts_the_store_and_keeps_what_is_there(local: LocalStore) -> None:
    cost = ShardCost(search_id="s", iteration=0, shard=0, candidates=1, steps=1, seconds=0.1)
    launchpad, store = connect(local.home)
    (fw_id,) = launchpad.add_wf(Firework(ScriptTask.from_str("true"))).values()
    store.put_shard_cost(cost)
    store.close()

    launchpad, store = connect(local.home)
    assert store.database.name == "pyrite"
    assert fw_id in launchpad.get_fw_ids()
    assert launchpad.fw_id_assigner.count_documents({}) == 1
    assert cost in store.shard_costs("s")
    assert "fw_id_1" in launchpad.fireworks.index_information()
    store.close()


def test_connecting_to_a_server_of_ones_own(
    tmp_path: Path,
    embedded_store: LocalStore,
    database_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = embedded_store.uri.replace("/pyrite?", f"/{database_name}?")
    monkeypatch.setenv("PYRITE_DATABASE_URI", uri)
    launchpad, store = connect(tmp_path / "home")
    assert launchpad.db.name == store.database.name == database_name
    for database in (launchpad.db, store.database):
        assert database.write_concern.document == {"j": True}, "a kill would lose writes"
    launchpad.connection.drop_database(database_name)
    store.close()
    assert not (tmp_path / "home").exists()


def test_connecting_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRITE_DATABASE_URI", f"mongodb://anna:s3cret@{HOST}:{free_port()}/x")
    with pytest.raises(StoreError, match="no database answers") as caught:
        connect(tmp_path)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(settings())


def test_two_processes_initialise_one_launchpad(launchpad: LaunchPad) -> None:
    for collection in (launchpad.fw_id_assigner, launchpad.workflows, launchpad.fireworks):
        collection.drop()
    threads = [threading.Thread(target=initialise, args=(launchpad,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (counter,) = launchpad.fw_id_assigner.find()
    assert (counter["next_fw_id"], counter["next_launch_id"]) == (1, 1)


def test_workers_never_share_an_id(launchpad: LaunchPad, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("get_new_fw_id", "get_new_launch_id"):  # put back what the patch replaces
        monkeypatch.setattr(LaunchPad, name, getattr(LaunchPad, name))
    use_safe_counters()
    launch_ids: list[int] = []

    def take() -> None:
        launch_ids.extend(launchpad.get_new_launch_id() for _ in range(40))

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(launch_ids) == list(range(1, 121))
    assert launchpad.get_new_fw_id(3) == 1
    assert launchpad.get_new_fw_id() == 4
