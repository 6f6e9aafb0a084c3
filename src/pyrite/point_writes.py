"""FireWorks' collections in the embedded store, by indexes.

SecantusDB 0.7.0b3 reads the whole collection for two things that FireWorks does with every
firework: it finds the document of a ``findAndModify`` by an index, but not to write it (measured:
42 ms among 4000 fireworks, 2.5 ms by ``update``), and it uses no index for a query with an
operator at its top, as that of every worker has one (``$or``, for ``spec._fworker``). In a query
that asks for fields to be absent, as that of a worker of ``pyrite run`` does, it uses an index of
one field at best (185 ms among 4000 fireworks of one search; 1 ms for search and state without
those). So everything in the database made every firework dearer.

The collection here does in two steps what the server does in two steps: it finds the document,
then writes it if it is still there and still matches. MongoDB needs none of this.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fireworks import LaunchPad

from pyrite.errors import StoreError
from pyrite.mongo import Document, address_of, translated

_ATTEMPTS = 1000
COLLECTIONS = ("fireworks", "launches", "workflows")


class PointWrites:
    """A collection in which what FireWorks finds and modifies is found by indexes."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def find_one(
        self,
        query: Document | None = None,
        projection: Any = None,
        sort: Any = None,
        **options: Any,
    ) -> Any:
        """See pymongo."""
        query = query or {}
        indexed = {name: value for name, value in query.items() if _is_indexed(name, value)}
        if options or not indexed or len(indexed) == len(query):
            return self._collection.find_one(query, projection, sort=sort, **options)
        stages: list[Document] = [
            {"$match": indexed},
            {"$match": {name: value for name, value in query.items() if name not in indexed}},
            *([{"$sort": dict(sort)}] if sort else ()),
            {"$limit": 1},
            *([{"$project": _fields(projection)}] if projection else ()),
        ]
        return next(iter(self._collection.aggregate(stages)), None)

    def find_one_and_update(self, query: Document, update: Document, **options: Any) -> Any:
        """See pymongo; answers with the document as it was."""
        if options.keys() - {"sort"}:
            return self._collection.find_one_and_update(query, update, **options)
        write = self._collection.update_one
        return self._write(query, lambda mine: write(mine, update), **options)

    def find_one_and_replace(self, query: Document, document: Document, **options: Any) -> Any:
        """See pymongo; answers with the document as it was."""
        replace = self._collection.replace_one
        if options == {"upsert": True}:  # one step, by an index
            before = self._collection.find_one(query)
            replace(query, document, upsert=True)
            return before
        if options.keys() - {"sort"}:
            return self._collection.find_one_and_replace(query, document, **options)
        return self._write(query, lambda mine: replace(mine, document), **options)

    def _write(self, query: Document, write: Callable[[Document], Any], sort: Any = None) -> Any:
        for _ in range(_ATTEMPTS):
            found = self.find_one(query, sort=sort)
            if found is None:
                return None
            # Whoever was quicker has changed what the query asks for: look again. The `_id` has
            # to come first, and operators (who may run a firework) are as they were when found.
            if write({"_id": found["_id"], **_plain(query)}).matched_count:
                return found
        raise StoreError(
            f"others were quicker {_ATTEMPTS} times in a row to write what this process had found "
            f"in {self._collection.name}; run the same command again"
        )


def _fields(projection: Any) -> Document:
    return dict(projection) if isinstance(projection, Mapping) else dict.fromkeys(projection, 1)


def _plain(query: Document) -> Document:
    return {name: value for name, value in query.items() if not name.startswith("$")}


def _is_indexed(name: str, value: Any) -> bool:
    """Whether an index finds what a query asks of a field, rather than stands in the way."""
    absent = isinstance(value, dict) and value.keys() <= {"$exists", "$ne", "$nin", "$not"}
    return not (name.startswith("$") or (absent and value))


def use_point_writes(launchpad: LaunchPad) -> None:
    """Let a launchpad on the embedded store write by indexes; any other is left as it is."""
    with translated(address_of(launchpad.connection)):
        server = launchpad.connection.server_info()
    if "secantusVersion" not in server:
        return
    for name in COLLECTIONS:
        setattr(launchpad, name, PointWrites(getattr(launchpad, name)))
