"""What people look at: parts of the records, by indexes and projections, without writing.

The tasks of a search read whole records through :mod:`pyrite.store`. The dashboard reads often
and shows much at once, so it takes the few fields that a figure needs, as plain documents, and
of a large pool a part.
"""

from collections.abc import Sequence
from typing import Any

from pyrite.documents import (
    Candidate,
    Forecast,
    Iteration,
    Label,
    Record,
    Relaxation,
    Role,
    ShardCost,
    TrainedMember,
    Validation,
)
from pyrite.models.names import candidate_name
from pyrite.mongo import KINDS, Document, translated
from pyrite.progress import ITERATION_FIELDS, LABEL_FIELDS, Progress
from pyrite.store import Store

_ITERATION = (
    *("iteration", "clusters", "noise", "eps", "convergence", "ended_by", "confirmed"),
    "larger_cells",
    *("picks.candidate_id", "picks.choice", "next_picks.candidate_id", "next_picks.choice"),
    *("top.candidate_id", "top.energy", "top.size", "top.settled", "finalists.candidate_id"),
)
_LABEL = (
    *("iteration", "candidate_id", "choice", "status", "reason", "energy", "crystal.numbers"),
    *("provenance.seconds", "provenance.reference_calls", "provenance.scf_cycles"),
    *("provenance.engine", "provenance.engine_version"),
)
_MEMBER = ("iteration", "member", "labels", "left_out", "seconds", "epochs")
_ERRORS = ("energy_mae", "force_mae", "stress_mae")
_VALIDATION = (
    *("iteration", "candidate_id", "status", "reason", "converged", "energy"),
    *("provenance.seconds", "provenance.reference_calls"),
)
_POINT = (
    *("candidate_id", "stop", "energy", "descriptor", "crystal.cell", "crystal.numbers"),
    *("previous_energy", "previous_crystal.cell"),
    *("ahead.energy", "ahead.descriptor", "ahead.crystal.cell"),
)
_FORECAST = ("iteration", "candidate_id", "energy", "energy_spread", "forces", "force_spread")
_FIREWORK = ("fw_id", "name", "state", "launches", "spec.iteration")
_LAUNCH = (
    *("launch_id", "state", "fworker.name", "launch_dir", "time_start", "time_end"),
    *("state_history.created_on", "state_history.updated_on"),
)
_AT_A_TIME = 50


class Views:
    """Reads parts of one store's records.

    Parameters
    ----------
    store
        an open store; its connection is used by many threads at once

    Raises
    ------
    StoreError
        From every method: the database is unreachable.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def pulse(self, search_id: str) -> tuple[Any, ...]:
        """Whatever differs when a page on this search should be drawn again; cheap."""
        fields = ("iteration", "clusters", "convergence.converged", "ended_by", "confirmed")
        search = self.store.get_search(search_id)
        iterations = self._find(KINDS[Iteration].collection, {"search_id": search_id}, fields)
        now = max((int(one["iteration"]) for one in iterations), default=0)
        this = {"search_id": search_id, "iteration": now}
        with translated(self.store.address):
            counts = tuple(
                self.store.database[KINDS[kind].collection].count_documents(this)
                for kind in (Label, TrainedMember, ShardCost, Validation)
            )
        stamps = self._find("workflows", {"metadata.search_id": search_id}, ("updated_on",))
        stamp = max((str(one["updated_on"]) for one in stamps), default="")
        told = tuple(str(sorted(one.items())) for one in iterations)
        return (search.state.value, search.error, told, counts, stamp)

    # -- the loop ----------------------------------------------------------------------

    def iterations(self, search_id: str) -> list[Document]:
        """Iterations in order, without crystals."""
        found = self._find(KINDS[Iteration].collection, {"search_id": search_id}, _ITERATION)
        return sorted(found, key=lambda one: int(one["iteration"]))

    def members_of_top(self, search_id: str, iteration: int) -> list[list[str]]:
        """Names of the members of an iteration's top clusters, the best cluster first."""
        query = {"search_id": search_id, "iteration": iteration}
        found = self._find(KINDS[Iteration].collection, query, ("top.members",), 1)
        return [one.get("members") or [] for one in (found[0].get("top") or [])] if found else []

    def labels(self, search_id: str, *, forces: bool = False) -> list[Document]:
        """Labels with energies (eV per cell) and costs, with forces if wanted."""
        fields = (*_LABEL, "forces") if forces else _LABEL
        return self._find(KINDS[Label].collection, {"search_id": search_id}, fields)

    def forecasts(self, search_id: str) -> list[Document]:
        """What networks said of labels that they had not seen."""
        return self._find(KINDS[Forecast].collection, {"search_id": search_id}, _FORECAST)

    def members(self, search_id: str) -> list[Document]:
        """Facts about all networks."""
        return self._find(
            KINDS[TrainedMember].collection, {"search_id": search_id}, (*_MEMBER, *_ERRORS)
        )

    def shard_costs(self, search_id: str) -> list[Document]:
        """Costs of all shards of all relaxations."""
        fields = ("iteration", "candidates", "steps", "seconds", "outcomes")
        return self._find(KINDS[ShardCost].collection, {"search_id": search_id}, fields)

    def validations(self, search_id: str) -> list[Document]:
        """Reference relaxations, without crystals; energies in eV/atom."""
        return self._find(KINDS[Validation].collection, {"search_id": search_id}, _VALIDATION)

    # -- the pool ----------------------------------------------------------------------

    def pool_size(self, search_id: str, role: Role = Role.TRAIN) -> int:
        """Number of candidates of one role, which are numbered from 0.

        Found by bisection: the embedded store reads every document that it counts, and a large
        pool would take it many seconds.
        """
        low, high = 0, 1
        while self._has_candidate(search_id, role, high - 1):
            low, high = high, 2 * high
        while low < high:
            middle = (low + high) // 2
            if self._has_candidate(search_id, role, middle):
                low = middle + 1
            else:
                high = middle
        return low

    def relaxed(self, search_id: str, iteration: int) -> int:
        """Number of candidates that an iteration's finished shards have relaxed."""
        query = {"search_id": search_id, "iteration": iteration}
        found = self._find(KINDS[ShardCost].collection, query, ("candidates",))
        return sum(int(one["candidates"]) for one in found)

    def points(
        self, search_id: str, iteration: int, ids: Sequence[str] | None = None
    ) -> list[Document]:
        """Where an iteration's relaxations began and ended, all or those of `ids`."""
        return self._relaxations(search_id, iteration, ids, _POINT)

    def progress(self, search_id: str) -> Progress:
        """What :meth:`Store.progress` says, at the same cost for pools of any size."""
        search, iterations = self.store.get_search(search_id), self.iterations(search_id)
        now = iterations[-1]["iteration"] if iterations else 0
        return Progress.of(
            search.state,
            iterations,
            self.labels(search_id),
            self.validations(search_id),
            candidates={role: self.pool_size(search_id, role) for role in Role},
            trained=sum(one["iteration"] == now for one in self.members(search_id)),
            relaxed=self.relaxed(search_id, now),
        )

    # -- FireWorks' bookkeeping ----------------------------------------------------------

    def workflows(self, search_id: str) -> list[Document]:
        """The workflows of a search, one for each iteration: nodes and links."""
        return self._find("workflows", {"metadata.search_id": search_id}, ("nodes", "links"))

    def fireworks(self, ids: Sequence[int]) -> list[Document]:
        """Fireworks by id: names, states, launches."""
        return self._find_among("fireworks", {}, "fw_id", ids, _FIREWORK)

    def launches(self, ids: Sequence[int]) -> list[Document]:
        """Launches by id: who ran them, where and when; without what they returned."""
        return self._find_among("launches", {}, "launch_id", ids, _LAUNCH)

    def stacktrace(self, launch_id: int) -> str:
        """With what a launch failed; empty if it did not."""
        field = "action.stored_data._exception._stacktrace"
        found = self._find("launches", {"launch_id": launch_id}, (field,), 1)
        value: Any = found[0] if found else {}
        for name in field.split("."):
            value = (value or {}).get(name) if isinstance(value, dict) else None
        return str(value or "")

    # -- shared --------------------------------------------------------------------------

    def _has_candidate(self, search_id: str, role: Role, number: int) -> bool:
        query = {"search_id": search_id, "candidate_id": candidate_name(role, number)}
        return bool(self._find(KINDS[Candidate].collection, query, ("candidate_id",), 1))

    def _relaxations(
        self, search_id: str, iteration: int, ids: Sequence[str] | None, fields: Sequence[str]
    ) -> list[Document]:
        query: Document = {"search_id": search_id, "iteration": iteration}
        if ids is None:
            return self._find(KINDS[Relaxation].collection, query, fields)
        return self._find_among(KINDS[Relaxation].collection, query, "candidate_id", ids, fields)

    def _find_among(
        self, collection: str, query: Document, key: str, ids: Sequence[Any], fields: Sequence[str]
    ) -> list[Document]:
        """Documents by their keys, some at a time: what a list of n keys costs the embedded store
        grows with n²."""
        found: list[Document] = []
        ordered = sorted(ids)
        for start in range(0, len(ordered), _AT_A_TIME):
            among = {**query, key: {"$in": ordered[start : start + _AT_A_TIME]}}
            found += Views._find(self, collection, among, fields)
        return found

    def _find(
        self, collection: str, query: Document, fields: Sequence[str], limit: int = 0
    ) -> list[Document]:
        projection = {"_id": 0, **dict.fromkeys(fields, 1)}
        with translated(self.store.address):
            return list(self.store.database[collection].find(query, projection, limit=limit))


class Following:
    """Progress of one search, for somebody who asks every second.

    Only the current iteration is read again: the next one begins when nothing of it is left
    to be written.
    """

    def __init__(self, views: Views, search_id: str) -> None:
        self._views, self._search_id = views, search_id
        self._past: list[Document] = []
        self._labels: list[Document] = []
        self._candidates: dict[Role, int] | None = None

    def progress(self) -> Progress:
        """What :meth:`Store.progress` says."""
        views, search_id = self._views, self._search_id
        state = views.store.get_search(search_id).state
        current = self._iteration()
        iterations = [*self._past, *current]
        candidates = self._candidates
        if candidates is None:
            candidates = {role: views.pool_size(search_id, role) for role in Role}
            self._candidates = candidates if iterations else None  # the pool comes first
        now = len(self._past)
        return Progress.of(
            state,
            iterations,
            [*self._labels, *(self._of(Label, now, LABEL_FIELDS) if current else ())],
            views.validations(search_id),
            candidates=candidates,
            trained=len(self._of(TrainedMember, now, ("member",))),
            relaxed=views.relaxed(search_id, now),
        )

    def _iteration(self) -> list[Document]:
        """The current iteration, if there is one; those before it are remembered."""
        current = self._of(Iteration, len(self._past), ITERATION_FIELDS)
        while current and (following := self._of(Iteration, len(self._past) + 1, ITERATION_FIELDS)):
            self._labels += self._of(Label, len(self._past), LABEL_FIELDS)
            self._past += current
            current = following
        return current

    def _of(self, kind: type[Record], iteration: int, fields: Sequence[str]) -> list[Document]:
        query = {"search_id": self._search_id, "iteration": iteration}
        return self._views._find(KINDS[kind].collection, query, fields)
