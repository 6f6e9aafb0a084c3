"""Adding a search, and running it to its end with local workers."""

import math
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pyrite import errors
from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Role, Search, SearchState
from pyrite.errors import PyriteError, SearchFailed, StoreError
from pyrite.launchers.live_view import Moment, View
from pyrite.launchers.workers import WorkerPool
from pyrite.results import Result
from pyrite.settings import settings
from pyrite.views import Following, Views

if TYPE_CHECKING:
    from pyrite.launchers.bookkeeping import FireworkView, Snapshot
    from pyrite.launchers.session import Session

POLL_SECONDS = 1.0
STORE_PATIENCE = 60.0  # seconds without the database before giving up
ODD_FAILURE_PATIENCE = 60.0  # seconds to heal a firework that fizzled without failing


class Starts(NamedTuple):
    """Crystals from the user's files, for the pool and for the target's pool."""

    train: Sequence[Crystal] = ()
    target: Sequence[Crystal] = ()


def preflight(config: SearchConfig, *, reference: bool = True) -> Starts:
    """Refuse what cannot work before anything is created; returns the start structures.

    Parameters
    ----------
    reference : whether the reference engine is needed here

    Raises
    ------
    UserError
        Composition, distances, start structures or reference engine.
    """
    from pyrite.models.generation import random_candidate
    from pyrite.models.known_structures import sought
    from pyrite.models.recipe import recipes
    from pyrite.models.start_structures import arranged, read_structures

    pools = recipes(config)
    sought(config)
    if reference:
        require_reference(config)
    starts = {role: read_structures(how.pool.files, how.section) for role, how in pools.items()}
    for role, how in pools.items():
        for crystal in starts[role]:
            arranged(crystal, how.content, how.section)
    for role, how in pools.items():
        share = how.pool.symmetric_share
        # The first of the P1 cells and the first of the symmetric ones.
        for index in {0, math.ceil(1 / share) - 1 if share else 0}:
            random_candidate(config, role, min(index, how.pool.size - 1))
    return Starts(starts[Role.TRAIN], starts.get(Role.TARGET, ()))


def require_reference(config: SearchConfig) -> None:
    """Refuse a reference engine that this machine lacks or does not allow.

    Raises
    ------
    UserError
        Naming it.
    """
    from pyrite.models.engines import check_engine, require_allowed

    require_allowed(config.reference, settings().machine())
    check_engine(config.reference)


def add_search(
    session: "Session", config: SearchConfig, starts: Sequence[Sequence[Crystal]]
) -> bool:
    """Add a search and its workflow, each exactly once; returns whether anything was new.

    May be killed between any two steps and done again.

    Raises
    ------
    NameTakenError
        A search of that name has other settings.
    """
    from pyrite.launchers.bookkeeping import is_added
    from pyrite.models.quiet import quietly
    from pyrite.mongo import translated

    with quietly():  # torch's and others' complaints at import
        from pyrite.workflows.search import search_workflow

        workflow = search_workflow(config, *starts)
    name = _name(config)
    session.store.create_search(Search(search_id=name, config=config, created=time.time()))
    with translated(session.store.address):
        launchpad = session.launchpad
        if is_added(launchpad, name):
            return False
        # Fireworks are written before the workflow that lists them: an earlier attempt's.
        launchpad.fireworks.delete_many({"spec.search_id": name})
        launchpad.add_wf(workflow)
    return True


def remove_search(session: "Session", name: str) -> None:
    """Remove a search with its workflow; may be killed at any point and done again.

    Raises
    ------
    StoreError
        There is no search of that name.
    """
    from pyrite.mongo import translated

    session.store.get_search(name)
    with translated(session.store.address):
        session.launchpad.delete_fws(session.launchpad.get_fw_ids({"spec.search_id": name}))
        session.launchpad.workflows.delete_many({"metadata.search_id": name})
    session.store.remove_search(name)


@dataclass
class Runner:
    """Drives one search that was added.

    Parameters
    ----------
    session : Session
    config : SearchConfig
    workers : int
        Number of worker processes.
    view : View
        Where progress is shown.
    """

    session: "Session"
    config: SearchConfig
    workers: int
    view: View
    _began: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        from pyrite.launchers.maintenance import Patience

        self._name = _name(self.config)
        self._following = Following(Views(self.session.store), self._name)
        self._odd_failures: Patience[int] = Patience(ODD_FAILURE_PATIENCE)

    def run(self) -> Result:
        """Run or resume the search to its end.

        Raises
        ------
        PyriteError
            What ended it instead; as recorded by the task that failed.
        KeyboardInterrupt
            Workers were ended and their tasks set back.
        """
        from pyrite.mongo import translated

        store = self.session.store
        self._retry_failed()
        pool = WorkerPool(
            self.session.launchpad,
            self.session.launchpad_file,
            self.session.home,
            self._name,
            self.workers,
            # Of Makers no others run, whatever somebody else writes into the database.
            environment={
                "PYRITE_MAKERS": settings().makers or self.config.reference.makers or "none"
            },
        )
        try:
            self._start(pool)
            while not self._step(pool):
                time.sleep(POLL_SECONDS)
        except BaseException:
            with suppress(StoreError):  # the next run sets back what this one cannot
                self._stop(pool)
            raise
        self._stop(pool)
        with translated(store.address):
            pool.forget()
        result = store.result(self._name)
        if result is None:
            raise SearchFailed(f"search {self._name} ended without a ranking; report this")
        return result

    def _retry_failed(self) -> None:
        """The same command again means that the cause of a failure is mended."""
        from pyrite.launchers.steering import rerun

        again = rerun(self.session, self._name)
        if again:
            self.view.say(f"running {len(again)} failed task(s) again")

    def _start(self, pool: WorkerPool) -> None:
        from pyrite.mongo import translated

        with translated(self.session.store.address):
            pool.start()

    def _stop(self, pool: WorkerPool) -> None:
        from pyrite.mongo import translated

        with translated(self.session.store.address):
            pool.stop()

    def _step(self, pool: WorkerPool) -> bool:
        """Supervise once; returns whether the search is done."""
        from pyrite.mongo import translated

        store = self.session.store
        self.session.require_space()
        lost_at: float | None = None
        while True:
            try:
                with translated(store.address):
                    seen = pool.poll()
                progress = self._following.progress()
                break
            except StoreError:
                self.session.require_space()
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > STORE_PATIENCE:
                    raise
                self.session.revive()
                time.sleep(POLL_SECONDS)
        elapsed = time.monotonic() - self._began
        self.view.show(Moment(self.config, seen, progress, pool.alive, pool.deaths, elapsed))
        if seen.is_complete:
            return True
        self._raise_if_stuck(seen)
        return False

    def _raise_if_stuck(self, seen: "Snapshot") -> None:
        fizzled = seen.in_state("FIZZLED")
        odd = {
            one.fw_id
            for one in fizzled
            if one.launch is not None and (one.launch.outage or one.launch.state != "FIZZLED")
        }
        healing = odd - self._odd_failures.lasting(odd)
        if healing or seen.in_state("READY", "RESERVED", "RUNNING"):
            return
        if fizzled:
            raise self._failure(fizzled[0])
        shelved = seen.in_state("DEFUSED", "PAUSED", "ARCHIVED")
        if shelved:
            raise SearchFailed(
                f"{len(shelved)} firework(s) of search {self._name} are "
                f"{shelved[0].state.lower()}; reignite or resume them with lpad, "
                "and give the same command again"
            )

    def _failure(self, firework: "FireworkView") -> PyriteError:
        """The error that a task ended with, to be raised as if it had happened here."""
        from pyrite.launchers.bookkeeping import stacktrace

        remedy = "when that is mended, the same command resumes the search"
        trace = stacktrace(self.session.launchpad, firework)
        last = next((line for line in reversed(trace.splitlines()) if line.strip()), "")
        found = re.match(r"pyrite\.errors\.(\w+): ", last)
        kind = getattr(errors, found.group(1), None) if found else None
        recorded = self.session.store.get_search(self._name).error
        if isinstance(kind, type) and issubclass(kind, PyriteError):
            return kind(f"{recorded or last[found.end() if found else 0 :]}; {remedy}")
        where = f"task '{firework.name}' (firework {firework.fw_id}) failed"
        message = f"{where}: {last or 'without a reason'}; {remedy}"
        self.session.store.set_state(self._name, SearchState.FAILED, error=f"{where}: {last}")
        return SearchFailed(f"{message} (logs: {self.session.home / 'logs'})")


def _name(config: SearchConfig) -> str:
    if config.name is None:
        raise errors.ConfigError("name: a search that is added needs a name; set name")
    return config.name
