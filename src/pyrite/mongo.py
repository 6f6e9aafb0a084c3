"""Connections to MongoDB, what its errors mean, and documents.

Only :mod:`pyrite.store` builds on this module; the launchers take from it what
they need to know about servers.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import batched
from typing import Any, NamedTuple

from pydantic import ValidationError
from pymongo import MongoClient, ReplaceOne, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)
from pymongo.uri_parser import parse_uri

from pyrite.documents import (
    Candidate,
    Forecast,
    Iteration,
    Label,
    Record,
    Relaxation,
    Search,
    ShardCost,
    TrainedMember,
    TrainingState,
    Validation,
)
from pyrite.errors import StoreAway, StoreError
from pyrite.results import Result

type Document = dict[str, Any]

DATABASE_NAME = "pyrite"
TIMEOUT = 4.0
"""Seconds to wait for a server that does not answer."""

DURABLE: dict[str, Any] = {"journal": True}
"""For clients: MongoDB without replicas otherwise acknowledges writes that a kill still loses."""

WEIGHTS = "weights"
"""Field of a document that points to its file (:mod:`pyrite.weights`)."""

WRITES = 1000
"""Records in one bulk write."""

WITHOUT_BEFORE = {
    f"previous_{name}": 0 for name in ("energy", "energy_spread", "descriptor", "crystal")
}
"""Fields of relaxations that only convergence asks for."""

ATTEMPTS = 5
DUPLICATE_KEY = 11000
_REFUSED_USER = frozenset({13, 18, 8000})
_INTERNAL_ERROR = 1
_OUT_OF_DISK_SPACE = 14031
_DISK_FULL = re.compile(r"no space left|disk (is )?full|out of disk", re.IGNORECASE)
_UNUSABLE_URI = (
    "the database URI cannot be used; PYRITE_DATABASE_URI must read "
    "mongodb://user:password@host:port/name, with special characters percent-encoded"
)


# -- errors ----------------------------------------------------------------------------


def redact(text: str) -> str:
    """Replace the user name and password of every URI in a text."""
    return re.sub(r"://\S*@", "://***@", text)


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn errors of the driver into a StoreError that names `address` and the remedy."""
    try:
        yield
    except PyMongoError as error:
        kind = StoreAway if isinstance(error, ConnectionFailure) else StoreError
        raise kind(_explanation(error, address)) from error


def _explanation(error: PyMongoError, address: str) -> str:
    code, message = _code_and_message(error)
    if code == _OUT_OF_DISK_SPACE or _DISK_FULL.search(message):
        return (
            f"the disk of the database at {address} is full; "
            "free some space and run the same command again"
        )
    if code in _REFUSED_USER:
        return (
            f"the database at {address} refused the user name or the password; "
            "correct PYRITE_DATABASE_URI"
        )
    if isinstance(error, ConnectionFailure):
        return (
            f"no database answers at {address}; start that server, correct PYRITE_DATABASE_URI, or "
            "unset it: the embedded store starts by itself, or with 'pyrite store start'"
        )
    if code == _INTERNAL_ERROR:
        return (
            f"the database at {address} is out of order, as it is after its disk was full; "
            "look into its log, free some space, restart it (the embedded one with "
            "'pyrite store stop' and 'pyrite store start') and run the same command again"
        )
    brief = " ".join(redact(message).split(", full error")[0].split())[:200]
    return (
        f"the database at {address} refused an operation ({brief}); "
        "look into its log and run the same command again"
    )


def _code_and_message(error: PyMongoError) -> tuple[int | None, str]:
    if isinstance(error, BulkWriteError):
        for failure in (error.details or {}).get("writeErrors", []):
            return failure.get("code"), str(failure.get("errmsg", error))
    return (error.code if isinstance(error, OperationFailure) else None), str(error)


# -- connections -----------------------------------------------------------------------


def open_client(uri: str, timeout: float = TIMEOUT) -> MongoClient[Document]:
    """Make a client; the server is first contacted when it is used.

    Raises
    ------
    StoreError
        The URI cannot be used. Nothing of it is repeated: a password that is not
        percent-encoded ends up anywhere in the driver's own message.
    """
    try:
        return MongoClient(uri, serverSelectionTimeoutMS=round(timeout * 1000), **DURABLE)
    except (PyMongoError, ValueError, TypeError):
        raise StoreError(_UNUSABLE_URI) from None


def database_name_of(uri: str, default: str = DATABASE_NAME) -> str:
    """Name the database that a URI points to; ``admin`` only holds users."""
    try:
        name = parse_uri(uri)["database"]
    except (PyMongoError, ValueError, TypeError):
        raise StoreError(_UNUSABLE_URI) from None
    return name if name and name != "admin" else default


def address_of(client: MongoClient[Document]) -> str:
    """Return ``host:port`` of a client's servers, without contacting them."""
    nodes = client.topology_description.server_descriptions()
    return ", ".join(sorted(f"{host}:{port}" for host, port in nodes)) or "an unknown host"


def server_pid(uri: str, timeout: float = TIMEOUT) -> int | None:
    """Return the process id that the server at `uri` reports, None if none answers."""
    with open_client(uri, timeout) as client:
        try:
            return int(client.admin.command("serverStatus").get("pid", 0))
        except PyMongoError:
            return None


def server_works(uri: str, timeout: float = TIMEOUT) -> bool:
    """Whether the server at `uri` can read; one whose disk was full answers, but cannot."""
    with open_client(uri, timeout) as client:
        try:
            client[DATABASE_NAME]["searches"].find_one({}, {"_id": 1})
        except PyMongoError:
            return False
    return True


# -- documents --------------------------------------------------------------------------


class Kind(NamedTuple):
    """Where one class of records lies, and what identifies a record."""

    collection: str
    key: tuple[str, ...]


KINDS: dict[type[Record], Kind] = {
    Search: Kind("searches", ("search_id",)),
    Candidate: Kind("candidates", ("search_id", "candidate_id")),
    Label: Kind("labels", ("search_id", "iteration", "candidate_id")),
    Forecast: Kind("forecasts", ("search_id", "iteration", "candidate_id")),
    Relaxation: Kind("relaxations", ("search_id", "iteration", "candidate_id")),
    Iteration: Kind("iterations", ("search_id", "iteration")),
    TrainedMember: Kind("models", ("search_id", "iteration", "member")),
    TrainingState: Kind("training_states", ("search_id", "iteration", "part")),
    ShardCost: Kind("shard_costs", ("search_id", "iteration", "shard")),
    Validation: Kind("validations", ("search_id", "iteration", "candidate_id")),
    Result: Kind("results", ("search_id",)),
}


def to_mongo(record: Record) -> Document:
    """Write a record as a document; floats are kept exactly, paths become text."""
    return record.model_dump(mode="json")


def from_mongo[R: Record](kind: type[R], document: Document) -> R:
    """Read a record back, without what only the database needs.

    Raises
    ------
    StoreError
        Another version of Pyrite wrote a record that this one cannot read.
    """
    own = {name: value for name, value in document.items() if name not in {"_id", WEIGHTS}}
    try:
        return kind.model_validate(own)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise StoreError(
            f"a {kind.__name__} record of search {own.get('search_id')} was written by Pyrite "
            f"{own.get('pyrite_version')} and cannot be read by this version ({where}); finish "
            "that search with the Pyrite that began it, or use another --home"
        ) from None


def key_of(record: Record) -> Document:
    """Fields that identify a record, with their values."""
    return {name: getattr(record, name) for name in KINDS[type(record)].key}


def upsert(collection: Collection[Document], records: Sequence[Record]) -> None:
    """Write records of one kind by key, few at a time: their documents take as much again."""
    for some in batched(records, WRITES):
        writes = [ReplaceOne(key_of(one), to_mongo(one), upsert=True) for one in some]
        for attempt in range(ATTEMPTS):
            try:
                collection.bulk_write(writes, ordered=False)
                break
            except BulkWriteError as error:
                failures = (error.details or {}).get("writeErrors", [])
                # A ghost of this task may insert the same key between look-up and insertion.
                raced = all(failure.get("code") == DUPLICATE_KEY for failure in failures)
                if not raced or attempt == ATTEMPTS - 1:
                    raise


def insert_once(collection: Collection[Document], key: Document, fields: Document) -> None:
    """Insert a document unless there is one with this key; the first writer wins."""
    with suppress(DuplicateKeyError):
        collection.update_one(key, {"$setOnInsert": fields}, upsert=True)


def insert_new(collection: Collection[Document], documents: Sequence[Document]) -> None:
    """Insert documents in order, except those whose key somebody has inserted meanwhile."""
    if not documents:
        return
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        failures = (error.details or {}).get("writeErrors", [])
        if any(failure.get("code") != DUPLICATE_KEY for failure in failures):
            raise


def take_numbers(counters: Collection[Document], field: str, quantity: int = 1) -> int:
    """Count up and return the first of `quantity` numbers that nobody else gets.

    Asks for the counter as it is afterwards, for the reason that `Weights` gives.
    """
    after = counters.find_one_and_update(
        {}, {"$inc": {field: quantity}}, return_document=ReturnDocument.AFTER
    )
    if after is None:
        raise StoreError(
            "FireWorks' counters are missing in the database; run a pyrite command on it, "
            "or 'lpad reset' if nothing in it is needed"
        )
    return int(after[field]) - quantity
