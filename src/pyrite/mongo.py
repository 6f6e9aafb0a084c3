"""Connections to MongoDB, what its errors mean, documents, and files in GridFS.

Only :mod:`pyrite.store` builds on this module; the launchers take from it what
they need to know about servers.

GridFS has no upsert. :class:`Weights` therefore uploads a new file, points the
metadata to it in one atomic replacement, then deletes the file that was
replaced. An entry in ``uploads`` exists for as long as this takes; what a killed
writer leaves is found through it.
"""

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from bson import ObjectId
from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, NoFile
from pydantic import ValidationError
from pymongo import MongoClient, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
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
from pyrite.errors import StoreError
from pyrite.results import Result

type Document = dict[str, Any]

DATABASE_NAME = "pyrite"
TIMEOUT = 4.0
"""Seconds to wait for a server that does not answer."""

WEIGHTS = "weights"
UPLOADS = "uploads"
ABANDONED_AFTER = 600.0
"""Seconds after which an upload that never ended is taken for dead."""

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
        raise StoreError(_explanation(error, address)) from error


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
            f"no database answers at {address}; start it with 'pyrite store start', "
            "or set PYRITE_DATABASE_URI to a MongoDB server that runs"
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
        return MongoClient(uri, serverSelectionTimeoutMS=round(timeout * 1000))
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


def differences(old: Document, new: Document, prefix: str = "") -> list[str]:
    """Dotted names of the settings that differ."""
    names = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            names += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            names.append(prefix + name)
    return names


def insert_once(collection: Collection[Document], key: Document, fields: Document) -> None:
    """Insert a document unless there is one with this key; the first writer wins."""
    with suppress(DuplicateKeyError):
        collection.update_one(key, {"$setOnInsert": fields}, upsert=True)


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


# -- weights ---------------------------------------------------------------------------


class Weights:
    """Files that belong to documents of one collection, one file for each document.

    Parameters
    ----------
    database
        where the collection and the GridFS bucket lie
    collection
        name of both
    key
        fields that identify a document
    """

    def __init__(self, database: Database[Document], collection: str, key: Sequence[str]) -> None:
        self._documents = database[collection]
        self._files = database[f"{collection}.files"]
        self._uploads = database[UPLOADS]
        self._bucket = GridFSBucket(database, bucket_name=collection)
        self._names = key

    def put(self, key: Document, document: Document, content: bytes) -> None:
        """Write a document with its file; readers see both or neither."""
        self._clear_abandoned()
        digest = hashlib.sha256(content).hexdigest()
        if self._same_content(key, document, digest):
            return
        file_id = ObjectId()
        self._uploads.insert_one({"_id": file_id, **key, "started": time.time()})
        name = "/".join(str(part) for part in key.values())
        self._bucket.upload_from_stream_with_id(file_id, name, content, metadata=key)
        pointing = {**document, WEIGHTS: {"file": file_id, "sha256": digest}}
        replaced = self._replace(key, pointing)
        if replaced is not None:
            self._delete(replaced[WEIGHTS]["file"])
        self._uploads.delete_one({"_id": file_id})

    def read(self, document: Document) -> tuple[Document, bytes]:
        """Fetch a document's file; one that vanished was replaced, so look again.

        Returns
        -------
        document
            the newer one if it was replaced meanwhile
        content
        """
        key = {name: document[name] for name in self._names}
        for _ in range(ATTEMPTS):
            with suppress(NoFile, CorruptGridFile):
                content = self._bucket.open_download_stream(document[WEIGHTS]["file"]).read()
                if hashlib.sha256(content).hexdigest() == document[WEIGHTS]["sha256"]:
                    return document, content
            time.sleep(0.05)
            document = self._documents.find_one(key) or document
        raise StoreError(
            "the weights of "
            + ", ".join(f"{name} {value}" for name, value in key.items())
            + " are damaged in the database; run its TrainEnsemble firework again (lpad rerun_fws)"
        )

    def remove(self, query: Document) -> None:
        """Delete documents and their files, finished or not."""
        self._documents.delete_many(query)
        uploads = [upload["_id"] for upload in self._uploads.find(query, {"_id": 1})]
        for file_id in {*uploads, *self._file_ids(query)}:
            self._delete(file_id)
        self._uploads.delete_many(query)

    def _same_content(self, key: Document, document: Document, digest: str) -> bool:
        """Replace a document that has this very file already."""
        present = self._documents.find_one({**key, f"{WEIGHTS}.sha256": digest})
        if present is None:
            return False
        unchanged = {**key, f"{WEIGHTS}.file": present[WEIGHTS]["file"]}
        new = {**document, WEIGHTS: present[WEIGHTS]}
        return bool(self._documents.replace_one(unchanged, new).matched_count)

    def _replace(self, key: Document, document: Document) -> Document | None:
        """Replace or insert a document and return what was there.

        Compare and swap: the document that SecantusDB 0.7.0b3 returns from
        findAndModify as it was before may be older than the one it replaced.
        """
        for _ in range(4 * ATTEMPTS):
            before = self._documents.find_one(key)
            if before is None:
                with suppress(DuplicateKeyError):
                    self._documents.insert_one(dict(document))
                    return None
            else:
                unchanged = {**key, f"{WEIGHTS}.file": before[WEIGHTS]["file"]}
                if self._documents.replace_one(unchanged, document).matched_count:
                    return before
        raise StoreError(f"other writers keep replacing {key}; stop them and run the task again")

    def _file_ids(self, query: Document) -> list[ObjectId]:
        metadata = {f"metadata.{name}": value for name, value in query.items()}
        return [file["_id"] for file in self._files.find(metadata, {"_id": 1})]

    def _clear_abandoned(self) -> None:
        """Delete what killed writers left; a young upload may belong to a live ghost."""
        oldest_alive = time.time() - ABANDONED_AFTER
        for upload in list(self._uploads.find({"started": {"$lt": oldest_alive}})):
            key = {name: upload[name] for name in self._names}
            current = self._documents.find_one(key)
            in_use = current[WEIGHTS]["file"] if current else None
            for file_id in {upload["_id"], *self._file_ids(key)} - {in_use}:
                if file_id.generation_time.timestamp() <= oldest_alive:
                    self._delete(file_id)
            self._uploads.delete_one({"_id": upload["_id"]})

    def _delete(self, file_id: ObjectId) -> None:
        with suppress(NoFile):  # the chunks of an unfinished upload go all the same
            self._bucket.delete(file_id)
