"""The store against a real server: keys, round trips, errors."""

import threading
import time
from pathlib import Path

import pytest
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError, WriteError
from tests.integration.records import (
    AWKWARD,
    CRYSTAL,
    candidate,
    everything,
    files,
    fill,
    iteration,
    label,
    member,
    relaxation,
    result,
    search,
    shard_cost,
    validation,
)

from pyrite import mongo
from pyrite.config import SearchConfig
from pyrite.documents import Convergence, LabelStatus, Record, Role, Search, SearchState, TopCluster
from pyrite.errors import NameTakenError, StoreError
from pyrite.pool_config import PoolConfig
from pyrite.reference_config import ReferenceConfig
from pyrite.store import Store

# -- records ---------------------------------------------------------------------------


def test_more_records_than_one_write_holds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo, "WRITES", 2)
    candidates = [candidate(k) for k in range(5)]
    store.put_candidates(candidates)
    assert store.candidates("s") == candidates
    assert store.candidate_ids("s") == [one.candidate_id for one in candidates]


def test_relaxations_without_what_was_before(store: Store) -> None:
    one = relaxation().model_copy(
        update={"previous_energy": -1.0, "previous_descriptor": (1.0,), "previous_crystal": CRYSTAL}
    )
    store.put_relaxations([one])
    lacking = {"previous_energy": None, "previous_descriptor": None, "previous_crystal": None}
    assert store.relaxations("s", 0) == [one]
    assert store.relaxations("s", 0, before=False) == [one.model_copy(update=lacking)]


def test_everything_comes_back_exactly(store: Store) -> None:
    fill(store, "s")
    assert store.get_search("s") == search()
    assert store.list_searches() == [search()]
    assert store.candidates("s") == [candidate(0), candidate(1)]
    assert store.labels("s") == [label(0), label(1)]
    assert store.relaxations("s", 0) == [relaxation(0), relaxation(1)]
    assert store.iteration("s", 0) == iteration()
    assert store.iterations("s") == [iteration()]
    assert store.members("s", 0) == [(member(), b"weights")]
    assert store.members_facts("s") == [member()]
    assert store.shard_costs("s") == [shard_cost()]
    assert store.validations("s") == [validation()]
    assert store.result("s") == result()
    position = store.candidates("s")[0].crystal.positions[1]
    assert [x.hex() for x in position] == [x.hex() for x in AWKWARD]


def test_writing_twice_is_writing_once(store: Store) -> None:
    fill(store, "s")
    once, files_once = everything(store), files(store)
    fill(store, "s")
    assert everything(store) == once
    assert files(store) == files_once == (1, 1, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (candidate(), candidate(role=Role.TARGET)),
        (label(), label(status=LabelStatus.FAILED)),
        (relaxation(), relaxation().model_copy(update={"energy": -4.0})),
        (iteration(), iteration(clusters=3)),
        (shard_cost(), shard_cost().model_copy(update={"seconds": 9.0})),
        (validation(), validation().model_copy(update={"converged": False})),
        (result(), result().model_copy(update={"iterations": 4})),
    ],
    ids=lambda record: type(record).__name__,
)
def test_the_last_writer_wins(store: Store, old: Record, new: Record) -> None:
    store._upsert([old])
    store._upsert([new])
    assert store._find(type(new), {}) == [new]


def test_keys_are_unique_in_the_database(store: Store) -> None:
    for kind in mongo.KINDS.values():
        indexes = store.database[kind.collection].index_information().values()
        keys = [tuple(name for name, _ in index["key"]) for index in indexes if index.get("unique")]
        assert kind.key in keys


def test_nothing_to_write_is_no_error(store: Store) -> None:
    store.put_labels([])
    assert store.labels("s") == []
    assert store.result("s") is None


def test_reading_is_sorted_and_filtered(store: Store) -> None:
    store.put_candidates(
        [candidate(n, role=Role.TARGET if n == 7 else Role.TRAIN) for n in (9, 7, 8)]
    )
    store.put_labels([label(n, k) for n, k in ((5, 1), (3, 0), (4, 1), (1, 2))])
    assert [one.candidate_id for one in store.candidates("s")] == ["c0007", "c0008", "c0009"]
    assert store.candidates("s", ids=["c0009", "c0001"]) == [candidate(9)]
    assert store.candidates("s", ids=[]) == []
    assert store.candidate_ids("s") == ["c0007", "c0008", "c0009"]
    keys = [(one.iteration, one.candidate_id) for one in store.labels("s")]
    assert keys == [(0, "c0003"), (1, "c0004"), (1, "c0005"), (2, "c0001")]
    assert store.labels("s", iteration=1) == [label(4, 1), label(5, 1)]
    assert len(store.labels("s", upto_iteration=1)) == 3
    assert store.labels("other") == []
    with pytest.raises(ValueError, match="exclude"):
        store.labels("s", iteration=1, upto_iteration=1)


def test_ghosts_may_write_the_same_records_at_once(store: Store) -> None:
    records = [label(n) for n in range(30)]
    failures: list[Exception] = []

    def write() -> None:
        try:
            store.put_labels(records)
        except StoreError as error:
            failures.append(error)

    ghosts = [threading.Thread(target=write) for _ in range(4)]
    for ghost in ghosts:
        ghost.start()
    for ghost in ghosts:
        ghost.join()
    assert failures == []
    assert store.labels("s") == records


# -- searches --------------------------------------------------------------------------


def test_the_same_search_again_keeps_its_state(store: Store) -> None:
    store.create_search(search())
    store.set_state("s", SearchState.RUNNING)
    again = store.create_search(search().model_copy(update={"created": 99.0}))
    assert again == search().model_copy(update={"state": SearchState.RUNNING})


def test_a_name_is_taken_by_other_settings(store: Store) -> None:
    store.create_search(search())
    with pytest.raises(NameTakenError, match=r"pool\.size: 200 there, 20 here; seed: 1") as caught:
        store.create_search(search(seed=2, pool={"size": 20}))
    assert "(pool.size" in str(caught.value), "and nothing else differs"
    assert caught.value.exit_code == 2
    assert store.list_searches() == [search()]


def test_one_of_two_searches_gets_the_name(store: Store) -> None:
    outcomes: list[str] = []

    def create(seed: int) -> None:
        try:
            store.create_search(search(seed=seed))
            outcomes.append("created")
        except NameTakenError:
            outcomes.append("taken")

    threads = [threading.Thread(target=create, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["created", "taken", "taken", "taken"]


def test_settings_with_paths_and_odd_keys_come_back(store: Store) -> None:
    config = SearchConfig(
        composition="NaCl",
        pool=PoolConfig(files=(Path("a/b.cif"),), minimum_distances={"Na-Cl": 2.2}),
        reference=ReferenceConfig(settings={"a.b": {"$c": [1, 2.5, None]}}),
    )
    stored = store.create_search(Search(search_id="s", config=config, created=0.0))
    assert stored.config == config
    assert store.database["searches"].find_one()["config"]["pool"]["files"] == ["a/b.cif"]


def test_a_search_that_is_not_there(store: Store) -> None:
    with pytest.raises(StoreError, match="no search called x; there are none yet"):
        store.get_search("x")
    store.create_search(search("b"))
    store.create_search(search("a"))
    for look in (store.get_search, store.progress, store.remove_search):
        with pytest.raises(StoreError, match="no search called x; there are: a, b"):
            look("x")
    with pytest.raises(StoreError, match="no search called x"):
        store.set_state("x", SearchState.DONE)
    with pytest.raises(StoreError, match="search a has no iteration 3"):
        store.iteration("a", 3)


def test_states_are_replaced_as_a_whole(store: Store) -> None:
    store.create_search(search())
    store.set_state("s", SearchState.FAILED, error="no", finished=2.0)
    failed = store.get_search("s")
    assert (failed.state, failed.error, failed.finished) == (SearchState.FAILED, "no", 2.0)
    store.set_state("s", SearchState.RUNNING)
    assert store.get_search("s").error is None


def test_removing_leaves_the_others(store: Store) -> None:
    fill(store, "gone")
    fill(store, "kept")
    store.remove_search("gone")
    left = everything(store)
    assert {document["search_id"] for found in left.values() for document in found} == {"kept"}
    assert store.members("kept", 0) == [(member(search_id="kept"), b"weights")]
    assert files(store) == (1, 1, 0)


# -- the live view ---------------------------------------------------------------------


def test_progress(store: Store) -> None:
    store.create_search(search())
    empty = store.progress("s")
    assert (empty.state, empty.iteration, empty.labels_ok) == (SearchState.WAITING, None, 0)
    assert (empty.lowest_energy, empty.agreement, empty.verdict) == (None, (), None)

    verdict = Convergence(converged=False, agreeing=2, compared=5, reason="changed")
    top = tuple(
        TopCluster(candidate_id="c0001", energy=energy, size=1, crystal=CRYSTAL)
        for energy in (-3.0, -3.5)
    )
    store.put_candidates([candidate(n) for n in range(5)])
    store.put_iteration(iteration(0, top=top, convergence=verdict))
    store.put_iteration(iteration(1))
    failed = label(1, status=LabelStatus.FAILED).model_copy(update={"reason": "no SCF (3 times)"})
    store.put_labels([label(0), failed, label(1, 1)])
    store.put_relaxations([relaxation(n, k) for n, k in ((0, 0), (0, 1), (1, 1))])
    store.put_member(member(0, 0), b"a")
    store.put_member(member(0, 1), b"b")
    store.put_validation(validation())

    now = store.progress("s")
    assert (now.candidates, now.iteration) == (5, 1)
    assert (now.labels_ok, now.labels_failed, now.reference_calls) == (2, 1, 12)
    assert now.label_problems == (("no SCF", 1),)
    assert (now.labels_wanted, now.labels_done) == (1, 1)
    assert (now.relaxed, now.trained, now.validated) == (2, 1, 1)
    assert (now.lowest_energy, now.agreement, now.verdict) == (-3.5, ((2, 5),), "changed")


@pytest.mark.parametrize(("with_larger", "to_relax"), [(False, 5), (True, 8)])
def test_progress_knows_whether_larger_cells_take_part(
    store: Store, with_larger: bool, to_relax: int
) -> None:
    store.create_search(search())
    store.put_candidates([candidate(n) for n in range(5)])
    store.put_candidates([candidate(n, role=Role.TARGET) for n in range(5, 8)])
    store.put_iteration(iteration(0, larger_cells=with_larger))
    now = store.progress("s")
    assert (now.candidates, now.to_relax) == (8, to_relax)


# -- errors ----------------------------------------------------------------------------


def test_an_unreachable_server_is_told_soon_and_without_the_password() -> None:
    begin = time.monotonic()
    with pytest.raises(StoreError, match=r"no database answers at 127\.0\.0\.1:1;") as caught:
        Store.connect("mongodb://anna:s3cret@127.0.0.1:1/pyrite")
    assert time.monotonic() - begin < 8
    assert "pyrite store start" in str(caught.value)
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "uri",
    [
        "s3cret",
        "http://anna:s3cret@host/",
        "mongodb://anna:s3cret@/",
        "mongodb://anna:s3cret/x@host:1/",
        "mongodb://anna:s3cret@x@host:1/",
        "mongodb://anna:pw@host:s3cret/",
        "mongodb://anna:pw@host/?authMechanism=s3cret",
    ],
)
def test_an_unusable_uri_is_told_without_its_content(uri: str) -> None:
    with pytest.raises(StoreError, match="percent-encoded") as caught:
        Store.connect(uri)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("mongodb://host", "pyrite"),
        ("mongodb://host/crystals?tls=true", "crystals"),
        ("mongodb://anna:pw@host:1,other:2/admin", "pyrite"),
    ],
)
def test_the_database_of_a_uri(uri: str, name: str) -> None:
    assert mongo.database_name_of(uri) == name


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OperationFailure("Authentication failed.", 18), "refused the user name or the password"),
        (OperationFailure("not authorized on pyrite", 13), "refused the user name or the password"),
        (OperationFailure("out of space", 14031), "disk of the database at host:1 is full"),
        (WriteError("28: No space left on device", 8), "disk of the database at host:1 is full"),
        (
            BulkWriteError({"writeErrors": [{"code": 14031, "errmsg": "x"}]}),
            "disk of the database at host:1 is full",
        ),
        (OperationFailure("internal server error", 1), "out of order.*free some space, restart"),
        (
            OperationFailure("see mongodb://anna:s3cret@host:1/x for help", 77),
            r"refused an operation \(see mongodb://\*\*\*@host:1/x for help\)",
        ),
    ],
)
def test_errors_of_the_server_name_the_remedy(error: PyMongoError, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught, mongo.translated("host:1"):
        raise error
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_no_number_is_taken_twice(store: Store) -> None:
    counters = store.database["counters"]
    with pytest.raises(StoreError, match="counters are missing"):
        mongo.take_numbers(counters, "next")
    mongo.insert_once(counters, {"_id": 0}, {"next": 1})
    mongo.insert_once(counters, {"_id": 0}, {"next": 99})
    taken: list[int] = []

    def take() -> None:
        for _ in range(40):
            first = mongo.take_numbers(counters, "next", 2)
            taken.extend((first, first + 1))

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 241))


def test_a_record_of_another_version_is_one_sentence_and_no_traceback(store: Store) -> None:
    store.create_search(search("old"))
    searches = store._collection(Search)
    searches.update_one({"search_id": "old"}, {"$set": {"config.from_2031": 1}})
    with pytest.raises(StoreError, match=r"search old was written by Pyrite .*config\.from_2031"):
        store.get_search("old")
