"""The store against a real server: keys, round trips, weights, errors."""

import math
import threading
import time
from pathlib import Path

import pytest
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError, WriteError

from pyrite import mongo
from pyrite.config import PoolConfig, ReferenceConfig, SearchConfig
from pyrite.documents import (
    Candidate,
    Choice,
    Convergence,
    Crystal,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Ledger,
    Origin,
    Pick,
    Provenance,
    RankedCrystal,
    Record,
    Relaxation,
    Result,
    Role,
    Search,
    SearchState,
    ShardCost,
    StopReason,
    TopCluster,
    TrainedMember,
    TrainingState,
    Validation,
)
from pyrite.errors import NameTakenError, StoreError
from pyrite.store import Store

AWKWARD = (0.1 + 0.2, 1e-300, -0.0)
CRYSTAL = Crystal(
    numbers=(11, 17),
    positions=((0.0, 0.0, 0.0), AWKWARD),
    cell=((math.pi, 0.0, 0.0), (0.0, math.e, 0.0), (1 / 3, 2 / 3, 1e10 / 7)),
)
COST = Provenance(
    engine="chgnet", engine_version="1", settings={"a.b": 1}, seconds=0.5, reference_calls=3
)


def search(search_id: str = "s", **config: object) -> Search:
    return Search(
        search_id=search_id,
        config=SearchConfig.model_validate({"composition": "NaCl", **config}),
        created=1.5,
    )


def candidate(number: int = 0, search_id: str = "s", role: Role = Role.TRAIN) -> Candidate:
    return Candidate(
        search_id=search_id,
        candidate_id=f"c{number:04d}",
        role=role,
        origin=Origin.P1,
        crystal=CRYSTAL,
    )


def label(
    number: int = 0, iteration: int = 0, status: LabelStatus = LabelStatus.OK, search_id: str = "s"
) -> Label:
    return Label(
        search_id=search_id,
        iteration=iteration,
        candidate_id=f"c{number:04d}",
        choice=Choice.RANDOM,
        crystal=CRYSTAL,
        status=status,
        energy=-1 / 3,
        forces=(AWKWARD, AWKWARD),
        stress=CRYSTAL.cell,
        provenance=COST,
    )


def relaxation(number: int = 0, iteration: int = 0, search_id: str = "s") -> Relaxation:
    return Relaxation(
        search_id=search_id,
        iteration=iteration,
        candidate_id=f"c{number:04d}",
        stop=StopReason.UNCERTAIN,
        steps=7,
        energy=-3.0 - number / 7,
        energy_spread=0.01,
        fmax=0.1,
        uncertainty=0.5,
        descriptor=AWKWARD,
        crystal=CRYSTAL,
    )


def iteration(number: int = 0, search_id: str = "s", **end: object) -> Iteration:
    picks = (Pick(candidate_id="c0001", choice=Choice.RANDOM, crystal=CRYSTAL),)
    return Iteration.model_validate(
        {"search_id": search_id, "iteration": number, "picks": picks, **end}
    )


def member(number: int = 0, iteration: int = 0, search_id: str = "s") -> TrainedMember:
    return TrainedMember(
        search_id=search_id,
        iteration=iteration,
        member=number,
        architecture={"features": 48, "cutoff": 5.5},
        format_version=1,
        labels=60,
        left_out=2,
        epochs=10,
        seconds=1.25,
        energy_mae=0.01,
        force_mae=0.1,
        stress_mae=1e-3,
    )


def shard_cost(shard: int = 0, iteration: int = 0, search_id: str = "s") -> ShardCost:
    return ShardCost(
        search_id=search_id, iteration=iteration, shard=shard, candidates=9, steps=99, seconds=0.1
    )


def validation(number: int = 0, search_id: str = "s") -> Validation:
    return Validation(
        search_id=search_id,
        iteration=2,
        candidate_id=f"c{number:04d}",
        status=LabelStatus.OK,
        converged=True,
        energy=-3.1,
        crystal=CRYSTAL,
        provenance=COST,
    )


def result(search_id: str = "s") -> Result:
    first = RankedCrystal(
        rank=1,
        candidate_ids=("c0001", "c0002"),
        energy_ev_per_atom=-3.1,
        energy_above_lowest_ev_per_atom=0.0,
        space_group_symbol="Fm-3m",
        space_group_number=225,
        volume_a3_per_atom=22.5,
        converged=True,
        first_found_iteration=1,
        crystal=CRYSTAL,
    )
    return Result(
        search_id=search_id,
        iterations=3,
        ended_by=EndedBy.CONVERGENCE,
        ranking=(first,),
        ledger=Ledger(reference_calls=175),
    )


def fill(store: Store, search_id: str) -> None:
    """Write something of every kind."""
    store.create_search(search(search_id))
    store.put_candidates([candidate(n, search_id) for n in range(2)])
    store.put_labels([label(n, search_id=search_id) for n in range(2)])
    store.put_relaxations([relaxation(n, search_id=search_id) for n in range(2)])
    store.put_iteration(iteration(search_id=search_id))
    store.put_member(member(search_id=search_id), b"weights")
    store.put_shard_cost(shard_cost(search_id=search_id))
    store.put_validation(validation(search_id=search_id))
    store.put_result(result(search_id))


def everything(store: Store) -> dict[str, list[dict[str, object]]]:
    """All documents without what the database adds."""
    return {
        name: sorted(
            (
                {key: value for key, value in document.items() if key not in {"_id", "weights"}}
                for document in store.database[name].find()
            ),
            key=str,
        )
        for name in store.database.list_collection_names()
        if not name.startswith("models.")
    }


def files(store: Store) -> tuple[int, int, int]:
    """Numbers of files, of files that have chunks, and of uploads under way."""
    chunks = {chunk["files_id"] for chunk in store.database["models.chunks"].find()}
    count = store.database["models.files"].count_documents({})
    return count, len(chunks), store.database["uploads"].count_documents({})


# -- records ---------------------------------------------------------------------------


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
    with pytest.raises(NameTakenError, match=r"called s .*pool\.size, seed.*--name") as caught:
        store.create_search(search(seed=2, pool={"size": 20}))
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


# -- weights ---------------------------------------------------------------------------

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
        killing.setattr(mongo.Weights, line, die)
        with pytest.raises(Killed):
            store.put_member(member(), BIG)
    seen = {"_replace": b"old", "_delete": BIG}[line]
    assert store.members("s", 0) == [(member(), seen)]
    assert files(store) == (2, 2, 1)

    store.put_member(member(1), b"soon after")  # the writer could still live
    assert files(store) == (3, 3, 1)

    monkeypatch.setattr(mongo, "ABANDONED_AFTER", -2.0)
    store.put_member(member(1), b"much later")
    assert files(store) == (2, 2, 0)
    assert store.members("s", 0) == [(member(), seen), (member(1), b"much later")]


def test_an_upload_killed_half_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload_one_chunk(_bucket: object, file_id: object, *_: object, **__: object) -> None:
        chunk = {"files_id": file_id, "n": 0, "data": BIG[: 255 * 1024]}
        store.database["models.chunks"].insert_one(chunk)
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(mongo.GridFSBucket, "upload_from_stream_with_id", upload_one_chunk)
        with pytest.raises(Killed):
            store.put_member(member(), BIG)
    assert files(store) == (0, 1, 1)
    assert store.members("s", 0) == []

    monkeypatch.setattr(mongo, "ABANDONED_AFTER", -2.0)
    store.put_member(member(), BIG)
    assert files(store) == (1, 1, 0)
    assert store.members("s", 0) == [(member(), BIG)]


def test_readers_never_miss_weights_while_ghosts_write(store: Store) -> None:
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


# -- the live view ---------------------------------------------------------------------


def test_progress(store: Store) -> None:
    store.create_search(search())
    empty = store.progress("s")
    assert (empty.state, empty.iteration, empty.labels_ok) == (SearchState.WAITING, None, 0)
    assert (empty.lowest_energy, empty.agreement) == (None, ())

    verdict = Convergence(converged=False, agreeing=2, compared=5, reason="changed")
    top = tuple(
        TopCluster(candidate_id="c0001", energy=energy, size=1, crystal=CRYSTAL)
        for energy in (-3.0, -3.5)
    )
    store.put_candidates([candidate(n) for n in range(5)])
    store.put_iteration(iteration(0, top=top, convergence=verdict))
    store.put_iteration(iteration(1))
    store.put_labels([label(0), label(1, status=LabelStatus.FAILED), label(1, 1)])
    store.put_relaxations([relaxation(n, k) for n, k in ((0, 0), (0, 1), (1, 1))])
    store.put_member(member(0, 0), b"a")
    store.put_member(member(0, 1), b"b")
    store.put_validation(validation())

    now = store.progress("s")
    assert (now.candidates, now.iteration) == (5, 1)
    assert (now.labels_ok, now.labels_failed, now.reference_calls) == (2, 1, 12)
    assert (now.labels_wanted, now.labels_done) == (1, 1)
    assert (now.relaxed, now.trained, now.validated) == (2, 1, 1)
    assert (now.lowest_energy, now.agreement) == (-3.5, ((2, 5),))


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
