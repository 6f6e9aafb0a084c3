"""What a dashboard shows: a store, read through a memory, and what may be done to a search."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyrite.dashboard.queries.fireworks import Flow, flow
from pyrite.dashboard.queries.memory import Memory
from pyrite.dashboard.queries.overview import Summary
from pyrite.documents import Relaxation, Search
from pyrite.mongo import KINDS, Document
from pyrite.store import Store
from pyrite.views import Views

INTERVAL = 5.0
_FELT: ContextVar[dict[str, tuple[Any, ...]] | None] = ContextVar("felt", default=None)
Action = Callable[[str], str]
"""Does something to the search of that name and says what it did."""


@dataclass(frozen=True)
class Actions:
    """What the page may do; the launchers know how."""

    rerun: Action
    pause: Action
    resume: Action


class RememberedViews(Views):
    """Views at one pulse of one search: what has been read at that pulse is not read again.

    Relaxations are remembered for longer, until another shard of their iteration is done.
    """

    def __init__(self, store: Store, memory: Memory, stamp: tuple[Any, ...]) -> None:
        super().__init__(store)
        self._memory, self._stamp = memory, stamp

    def _find(
        self, collection: str, query: Document, fields: Sequence[str], limit: int = 0
    ) -> list[Document]:
        key = (collection, str(query), tuple(fields), limit)
        find = super()._find
        return self._memory.recall(
            key, self._stamp_of(collection, query), lambda: find(collection, query, fields, limit)
        )

    def _find_among(
        self, collection: str, query: Document, key: str, ids: Sequence[Any], fields: Sequence[str]
    ) -> list[Document]:
        what = (collection, str(query), hash(tuple(sorted(ids))), tuple(fields))
        find = super()._find_among
        return self._memory.recall(
            what,
            self._stamp_of(collection, query),
            lambda: find(collection, query, key, ids, fields),
        )

    def _stamp_of(self, collection: str, query: Document) -> Any:
        if collection != KINDS[Relaxation].collection:
            return self._stamp
        return self.relaxed(query["search_id"], query["iteration"])


@dataclass(frozen=True)
class Source:
    """One store, for the pages of a dashboard.

    Parameters
    ----------
    store
        open for as long as the dashboard runs
    home
        where local workers log, if this machine has them
    actions
        None where nothing may be done
    interval
        seconds between two looks at the store
    """

    store: Store
    home: Path | None = None
    actions: Actions | None = None
    interval: float = INTERVAL
    memory: Memory = field(default_factory=Memory)

    def pulse(self, name: str) -> tuple[Any, ...]:
        """Whatever differs when the pages of a search are out of date.

        Within :meth:`one_moment` it is felt once.
        """
        felt = _FELT.get()
        if felt is None:
            return Views(self.store).pulse(name)
        if name not in felt:
            felt[name] = Views(self.store).pulse(name)
        return felt[name]

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Show everything as it is now, for as long as one page is made."""
        token = _FELT.set({})
        try:
            yield
        finally:
            _FELT.reset(token)

    def views(self, name: str) -> RememberedViews:
        """The records of a search as they are now."""
        return RememberedViews(self.store, self.memory, self.pulse(name))

    def searches(self) -> list[Summary]:
        """All searches, the newest first."""
        return [self._summary(search) for search in reversed(self.store.list_searches())]

    def summary(self, name: str) -> Summary:
        """Where one search stands."""
        return self._summary(self.store.get_search(name))

    def log_of(self, worker: str) -> Path | None:
        """The log of a worker of this home."""
        if self.home is None or not worker or "/" in worker:
            return None
        path = self.home / "logs" / f"{worker}.log"
        return path if path.is_file() else None

    def _summary(self, search: Search) -> Summary:
        stamp = self.pulse(search.search_id)
        views = RememberedViews(self.store, self.memory, stamp)
        return self.memory.recall(
            ("summary", search.search_id), stamp, lambda: summarise(views, search)
        )


def summarise(views: Views, search: Search) -> Summary:
    """Read where a search stands."""
    now = views.progress(search.search_id)
    fireworks: Flow = flow(views, search.search_id)
    result = views.store.result(search.search_id)
    first = result.ranking[0] if result and result.ranking else None
    return Summary(
        search=search,
        progress=now,
        flow=fireworks,
        best=first.energy_ev_per_atom if first else now.lowest_energy,
        ranked=first is not None,
        first=first.space_group_symbol if first else None,
    )
