"""Weights in GridFS: replaced as a whole, whatever dies half way."""

import threading

import pytest
from tests.integration.records import files, fill, member

from pyrite import weights as module
from pyrite.documents import TrainingState
from pyrite.errors import StoreError
from pyrite.store import Store

BIG = bytes(range(256)) * 3000  # three chunks


def test_new_weights_replace_old_ones(store: Store) -> None:
    store.put_member(member(), BIG)
    store.put_member(member(1), b"other")
    store.put_member(member(), b"new")
    assert store.members("s", 0) == [(member(), b"new"), (member(1), b"other")]
    assert files(store) == (2, 2, 0)


def test_a_training_under_way_is_kept_replaced_and_forgotten(store: Store) -> None:
    state = TrainingState(search_id="s", iteration=2, part=1)
    other = state.model_copy(update={"part": 0})
    assert store.training_state(state) is None
    store.put_training_state(state, BIG)
    store.put_training_state(other, b"other")
    store.put_training_state(state, b"later")
    assert store.training_state(state) == b"later"
    store.remove_training_state(state)
    store.remove_training_state(state)
    assert store.training_state(state) is None
    assert store.training_state(other) == b"other"
    assert store.database["training_states.files"].count_documents({}) == 1


def test_removing_a_search_forgets_its_trainings(store: Store) -> None:
    fill(store, "gone")
    store.put_training_state(TrainingState(search_id="gone", iteration=0, part=0), BIG)
    store.remove_search("gone")
    assert store.database["training_states.files"].count_documents({}) == 0
    assert store.database["training_states.chunks"].count_documents({}) == 0


def test_new_facts_with_the_same_weights(store: Store) -> None:
    store.put_member(member(), BIG)
    before = store.database["models"].find_one()["weights"]
    store.put_member(member().model_copy(update={"seconds": 9.0}), BIG)
    assert store.members_facts("s")[0].seconds == 9.0
    assert store.database["models"].find_one()["weights"] == before


class Killed(BaseException):
    """Stands for a kill -9 at one line."""


def die(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("line", ["_replace", "_delete"])
def test_a_writer_killed_before_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    store.put_member(member(), b"old")
    with monkeypatch.context() as killing:
        killing.setattr(module.Weights, line, die)
        with pytest.raises(Killed):
            store.put_member(member(), BIG)
    seen = {"_replace": b"old", "_delete": BIG}[line]
    assert store.members("s", 0) == [(member(), seen)]
    assert files(store) == (2, 2, 1)

    store.put_member(member(1), b"soon after")  # the writer could still live
    assert files(store) == (3, 3, 1)

    monkeypatch.setattr(module, "ABANDONED_AFTER", -2.0)
    store.put_member(member(1), b"much later")
    assert files(store) == (2, 2, 0)
    assert store.members("s", 0) == [(member(), seen), (member(1), b"much later")]


def test_a_writer_that_a_clock_ahead_takes_for_dead_writes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = module.Weights._replace
    clearings = 0

    def cleared_before(weights: module.Weights, *arguments: object) -> object:
        nonlocal clearings
        if clearings < 2:
            clearings += 1
            with monkeypatch.context() as ahead:
                ahead.setattr(module, "ABANDONED_AFTER", -2.0)
                weights._clear_abandoned()
        return replace(weights, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Weights, "_replace", cleared_before)
    store.put_member(member(), BIG)
    assert clearings == 2
    assert files(store) == (1, 1, 0)
    assert store.members("s", 0) == [(member(), BIG)]


def test_an_upload_killed_half_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload_one_chunk(_bucket: object, file_id: object, *_: object, **__: object) -> None:
        chunk = {"files_id": file_id, "n": 0, "data": BIG[: 255 * 1024]}
        store.database["models.chunks"].insert_one(chunk)
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(module.GridFSBucket, "upload_from_stream_with_id", upload_one_chunk)
        with pytest.raises(Killed):
            store.put_member(member(), BIG)
    assert files(store) == (0, 1, 1)
    assert store.members("s", 0) == []

    monkeypatch.setattr(module, "ABANDONED_AFTER", -2.0)
    store.put_member(member(), BIG)
    assert files(store) == (1, 1, 0)
    assert store.members("s", 0) == [(member(), BIG)]


def test_readers_never_miss_weights_while_ghosts_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 100)  # a disk may be slow
    versions = [bytes([number]) * 300_000 for number in range(6)]
    store.put_member(member(), versions[0])
    done = threading.Event()
    failures: list[Exception] = []

    def write(contents: list[bytes]) -> None:
        for content in contents:
            try:
                store.put_member(member(), content)
            except StoreError as error:
                failures.append(error)

    def read() -> None:
        while not done.is_set():
            try:
                ((_, weights),) = store.members("s", 0)
            except (StoreError, ValueError) as error:
                failures.append(error)
            else:
                assert weights in versions

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(part,)) for part in (versions, versions[::-1])]
    for thread in (reader, *writers):
        thread.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert failures == []
    assert files(store) == (1, 1, 0)


def test_lost_weights_name_the_remedy(store: Store) -> None:
    store.put_member(member(), b"weights")
    store.database["models.chunks"].delete_many({})
    with pytest.raises(StoreError, match=r"iteration 0, member 0 are damaged.*rerun_fws"):
        store.members("s", 0)
