"""Files in GridFS that belong to documents: networks, and trainings under way.

GridFS has no upsert. :class:`Weights` therefore uploads a new file, points the
metadata to it in one atomic replacement, then deletes the file that was
replaced. An entry in ``uploads`` exists for as long as this takes; what a killed
writer leaves is found through it.
"""

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress

from bson import ObjectId
from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, NoFile
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from pyrite.errors import StoreError
from pyrite.mongo import ATTEMPTS, WEIGHTS, Document

UPLOADS = "uploads"
ABANDONED_AFTER = 600.0
"""Seconds after which an upload that never ended is taken for dead."""


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
        for _ in range(ATTEMPTS):
            if self._upload(key, document, content, digest):
                return
        raise StoreError(
            f"other processes keep clearing away uploads of {key} as if they were long abandoned; "
            "set the clocks of all machines that use this database"
        )

    def _upload(self, key: Document, document: Document, content: bytes, digest: str) -> bool:
        """Upload a file and point to it; False if somebody whose clock is ahead deleted it."""
        file_id = ObjectId()
        self._uploads.insert_one({"_id": file_id, **key, "started": time.time()})
        name = "/".join(str(part) for part in key.values())
        self._bucket.upload_from_stream_with_id(file_id, name, content, metadata=key)
        pointing = {**document, WEIGHTS: {"file": file_id, "sha256": digest}}
        replaced = self._replace(key, pointing)
        if replaced is not None:
            self._delete(replaced[WEIGHTS]["file"])
        return bool(self._uploads.delete_one({"_id": file_id}).deleted_count)

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
