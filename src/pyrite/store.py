"""The records of all searches in MongoDB.

Every record has a key (:mod:`pyrite.documents` names it), every key a unique
index, and every write is an upsert by key: a task that runs twice, or beside
its own ghost, leaves the same documents as one clean run. Networks' weights
and unfinished trainings lie in GridFS (:class:`pyrite.weights.Weights`).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, Self

from pymongo.collection import Collection
from pymongo.database import Database

from pyrite.documents import (
    Candidate,
    Forecast,
    Iteration,
    Label,
    Record,
    Relaxation,
    Role,
    Search,
    SearchState,
    ShardCost,
    TrainedMember,
    TrainingState,
    Validation,
)
from pyrite.errors import NameTakenError, StoreError
from pyrite.frozen import differences
from pyrite.mongo import (
    KINDS,
    TIMEOUT,
    WITHOUT_BEFORE,
    Document,
    address_of,
    database_name_of,
    from_mongo,
    insert_once,
    key_of,
    open_client,
    to_mongo,
    translated,
    upsert,
)
from pyrite.progress import ITERATION_FIELDS, LABEL_FIELDS, VALIDATION_FIELDS, Progress
from pyrite.results import Result
from pyrite.weights import Weights

if TYPE_CHECKING:
    from fireworks import LaunchPad


def _guarded[**P, R](
    method: Callable[Concatenate["Store", P], R],
) -> Callable[Concatenate["Store", P], R]:
    @wraps(method)
    def wrapper(self: "Store", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with translated(self.address):
            return method(self, *args, **kwargs)

    return wrapper


class Store:
    """The records of all searches in one database.

    Parameters
    ----------
    database
        a pymongo database; unique indexes are made if missing

    Raises
    ------
    StoreError
        From every method: the database is unreachable, full, or refuses the user.
    """

    def __init__(self, database: Database[Document]) -> None:
        self.database = database
        self.address = address_of(database.client)
        self._weights = Weights(database, *KINDS[TrainedMember])
        self._states = Weights(database, *KINDS[TrainingState])
        with translated(self.address):
            for kind in KINDS.values():
                database[kind.collection].create_index(
                    [(name, 1) for name in kind.key], unique=True
                )

    @classmethod
    def connect(cls, uri: str, database_name: str | None = None, timeout: float = TIMEOUT) -> Self:
        """Open the database at a MongoDB URI.

        Parameters
        ----------
        database_name
            default: the one that the URI names, or ``pyrite``
        timeout
            seconds to wait for a server that does not answer
        """
        name = database_name or database_name_of(uri)
        client = open_client(uri, timeout)
        try:
            return cls(client[name])
        except BaseException:
            client.close()
            raise

    @classmethod
    def from_launchpad(cls, launchpad: "LaunchPad") -> Self:
        """Use the launchpad's own database and connection."""
        return cls(launchpad.db)

    def close(self) -> None:
        """Close the connection, also for a launchpad that shares it."""
        self.database.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- searches ----------------------------------------------------------------------

    @_guarded
    def create_search(self, search: Search) -> Search:
        """Add a search, or find it if the same one is there already.

        Returns
        -------
        Search
            as it is in the database, with its state

        Raises
        ------
        NameTakenError
            A search of that name has other settings.
        """
        insert_once(self._collection(Search), key_of(search), to_mongo(search))
        found = self._get_search(search.search_id)
        differing = differences(to_mongo(found)["config"], to_mongo(search)["config"])
        if differing:
            raise NameTakenError(
                f"a search called {search.search_id} exists with other settings "
                f"({'; '.join(differing)}); to go on with it, ask for the settings that it has; "
                f"give another one another --name; or delete it: pyrite remove {search.search_id}"
            )
        return found

    @_guarded
    def get_search(self, search_id: str) -> Search:
        """Find a search by its name."""
        return self._get_search(search_id)

    @_guarded
    def list_searches(self) -> list[Search]:
        """All searches, the oldest first."""
        return sorted(self._find(Search, {}), key=lambda search: (search.created, search.search_id))

    @_guarded
    def set_state(
        self,
        search_id: str,
        state: SearchState,
        error: str | None = None,
        finished: float | None = None,
    ) -> None:
        """Replace the state, the error and the time of finishing (seconds since the epoch)."""
        update = {"state": state.value, "error": error, "finished": finished}
        outcome = self._collection(Search).update_one({"search_id": search_id}, {"$set": update})
        if not outcome.matched_count:
            self._get_search(search_id)

    @_guarded
    def remove_search(self, search_id: str) -> None:
        """Delete a search and everything that belongs to it; the name goes last."""
        self._get_search(search_id)
        mine = {"search_id": search_id}
        self._weights.remove(mine)
        self._states.remove(mine)
        for kind in KINDS.keys() - {Search, TrainedMember, TrainingState}:
            self._collection(kind).delete_many(mine)
        self._collection(Search).delete_many(mine)

    # -- the pool ----------------------------------------------------------------------

    @_guarded
    def put_candidates(self, candidates: Sequence[Candidate]) -> None:
        """Write candidates."""
        self._upsert(candidates)

    @_guarded
    def candidates(self, search_id: str, ids: Iterable[str] | None = None) -> list[Candidate]:
        """Candidates by id, all or those of `ids`."""
        among = {} if ids is None else {"candidate_id": {"$in": list(ids)}}
        return self._find(Candidate, {"search_id": search_id, **among})

    @_guarded
    def candidate_ids(self, search_id: str) -> list[str]:
        """Names of all candidates, without their structures."""
        # Not distinct: its answer is one document, which may not grow beyond 16 MB.
        found = self._collection(Candidate).find({"search_id": search_id}, {"candidate_id": 1})
        return sorted(document["candidate_id"] for document in found)

    @_guarded
    def put_labels(self, labels: Sequence[Label]) -> None:
        """Write labels."""
        self._upsert(labels)

    @_guarded
    def labels(
        self, search_id: str, iteration: int | None = None, upto_iteration: int | None = None
    ) -> list[Label]:
        """Labels, also failed ones, in order: all, of one iteration, or up to one and with it."""
        if iteration is not None and upto_iteration is not None:
            raise ValueError("iteration and upto_iteration exclude each other")
        query: Document = {"search_id": search_id}
        if iteration is not None:
            query["iteration"] = iteration
        if upto_iteration is not None:
            # Not $lte: SecantusDB 0.7.0b3 drops the last iteration from it (compound index).
            query["iteration"] = {"$lt": upto_iteration + 1}
        return self._find(Label, query)

    @_guarded
    def put_forecasts(self, forecasts: Sequence[Forecast]) -> None:
        """Write predictions of labels."""
        self._upsert(forecasts)

    @_guarded
    def put_relaxations(self, relaxations: Sequence[Relaxation]) -> None:
        """Write relaxations."""
        self._upsert(relaxations)

    @_guarded
    def relaxations(
        self,
        search_id: str,
        iteration: int,
        ids: Iterable[str] | None = None,
        *,
        before: bool = True,
    ) -> list[Relaxation]:
        """Relaxations of one iteration by candidate, all or those of `ids`.

        Without ``before`` they lack ``previous_*``, which is a third of what they take or more.
        """
        query: Document = {"search_id": search_id, "iteration": iteration}
        if ids is not None:
            query["candidate_id"] = {"$in": sorted(ids)}
        return self._find(Relaxation, query, None if before else WITHOUT_BEFORE)

    @_guarded
    def put_shard_cost(self, cost: ShardCost) -> None:
        """Write what one relaxation shard took."""
        self._upsert([cost])

    @_guarded
    def shard_costs(self, search_id: str, one: tuple[int, int] | None = None) -> list[ShardCost]:
        """Costs of all shards by (iteration, shard), or of one."""
        which = {} if one is None else {"iteration": one[0], "shard": one[1]}
        return self._find(ShardCost, {"search_id": search_id, **which})

    # -- iterations and results ----------------------------------------------------------

    @_guarded
    def put_iteration(self, iteration: Iteration) -> None:
        """Write what an iteration decided, replacing what it had written before."""
        self._upsert([iteration])

    @_guarded
    def iteration(self, search_id: str, iteration: int) -> Iteration:
        """One iteration."""
        found = self._find(Iteration, {"search_id": search_id, "iteration": iteration})
        if not found:
            raise StoreError(
                f"search {search_id} has no iteration {iteration}; it may have been removed "
                "while its tasks were running: add it again under another --name"
            )
        return found[0]

    @_guarded
    def iterations(self, search_id: str) -> list[Iteration]:
        """All iterations in order."""
        return self._find(Iteration, {"search_id": search_id})

    @_guarded
    def put_validation(self, validation: Validation) -> None:
        """Write a reference relaxation."""
        self._upsert([validation])

    @_guarded
    def validations(self, search_id: str) -> list[Validation]:
        """Reference relaxations by candidate."""
        return self._find(Validation, {"search_id": search_id})

    @_guarded
    def put_result(self, result: Result) -> None:
        """Write the final ranking."""
        self._upsert([result])

    @_guarded
    def result(self, search_id: str) -> Result | None:
        """Return the final ranking, None before the end."""
        return next(iter(self._find(Result, {"search_id": search_id})), None)

    # -- networks ------------------------------------------------------------------------

    @_guarded
    def put_member(self, member: TrainedMember, weights: bytes) -> None:
        """Write the facts and the weights of one network; readers see both or neither."""
        self._weights.put(key_of(member), to_mongo(member), weights)

    @_guarded
    def members(self, search_id: str, iteration: int) -> list[tuple[TrainedMember, bytes]]:
        """Networks of one iteration with their weights, by member."""
        query = {"search_id": search_id, "iteration": iteration}
        found = sorted(
            self._collection(TrainedMember).find(query), key=lambda document: document["member"]
        )
        pairs = [self._weights.read(document) for document in found]
        return [(from_mongo(TrainedMember, document), weights) for document, weights in pairs]

    @_guarded
    def members_facts(self, search_id: str) -> list[TrainedMember]:
        """Facts about all networks without weights, by (iteration, member)."""
        return self._find(TrainedMember, {"search_id": search_id})

    @_guarded
    def put_training_state(self, state: TrainingState, content: bytes) -> None:
        """Keep an unfinished training for whoever goes on with it."""
        self._states.put(key_of(state), to_mongo(state), content)

    @_guarded
    def training_state(self, state: TrainingState) -> bytes | None:
        """What was kept of a training, if anything."""
        document = self._collection(TrainingState).find_one(key_of(state))
        with suppress(StoreError):  # damaged, or forgotten meanwhile: only time is lost
            return self._states.read(document)[1] if document else None
        return None

    @_guarded
    def remove_training_state(self, state: TrainingState) -> None:
        """Forget a training that has ended."""
        self._states.remove(key_of(state))

    # -- the live view -------------------------------------------------------------------

    @_guarded
    def progress(self, search_id: str) -> Progress:
        """Gather what a live view shows, without structures."""
        mine = {"search_id": search_id}
        cycles = self._collection(Iteration).find(mine, ITERATION_FIELDS)
        iterations = sorted(cycles, key=lambda document: document["iteration"])
        this = {**mine, "iteration": iterations[-1]["iteration"] if iterations else None}
        return Progress.of(
            self._get_search(search_id).state,
            iterations,
            list(self._collection(Label).find(mine, LABEL_FIELDS)),
            list(self._collection(Validation).find(mine, VALIDATION_FIELDS)),
            candidates={
                role: self._collection(Candidate).count_documents({**mine, "role": role.value})
                for role in Role
            },
            trained=self._collection(TrainedMember).count_documents(this),
            relaxed=self._collection(Relaxation).count_documents(this),
        )

    # -- shared --------------------------------------------------------------------------

    def _collection(self, kind: type[Record]) -> Collection[Document]:
        return self.database[KINDS[kind].collection]

    def _get_search(self, search_id: str) -> Search:
        found = self._find(Search, {"search_id": search_id})
        if not found:
            names = sorted(self._collection(Search).distinct("search_id"))
            there = f"there are: {', '.join(names)}" if names else "there are none yet"
            raise StoreError(f"no search called {search_id}; {there}")
        return found[0]

    def _find[R: Record](
        self, kind: type[R], query: Document, fields: Document | None = None
    ) -> list[R]:
        """Records of one kind, sorted by their key."""
        found = self._collection(kind).find(query, fields)
        records = [from_mongo(kind, document) for document in found]
        return sorted(records, key=lambda record: tuple(key_of(record).values()))

    def _upsert(self, records: Sequence[Record]) -> None:
        """Write records of one kind by key."""
        if records:
            upsert(self._collection(type(records[0])), records)
