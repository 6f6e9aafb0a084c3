"""One line for each search, and for one search the answers to five questions."""

import time
from dataclasses import dataclass

from pyrite.config import SearchConfig
from pyrite.dashboard.queries.fireworks import SHELVED, UNDER_WAY, Flow
from pyrite.documents import Search, SearchState
from pyrite.progress import Progress


@dataclass(frozen=True)
class Summary:
    """Where one search stands.

    Attributes
    ----------
    flow
        its fireworks
    best
        lowest energy by the reference once there is a ranking, before that by the ensemble,
        eV/atom
    ranked
        whether `best` is the reference's
    failed_tasks
        fireworks that failed
    """

    search: Search
    progress: Progress
    flow: Flow
    best: float | None
    ranked: bool
    first: str | None = None

    @property
    def name(self) -> str:
        """Of the search."""
        return self.search.search_id

    @property
    def config(self) -> SearchConfig:
        """Its settings."""
        return self.search.config

    @property
    def failed_tasks(self) -> int:
        """Fireworks that ended with an error."""
        return len(self.flow.in_state("FIZZLED"))

    @property
    def paused(self) -> bool:
        """Whether fireworks are shelved and none is at work."""
        waits = self.flow.in_state(*SHELVED)
        return bool(waits) and not self.flow.in_state(*UNDER_WAY, "READY")

    @property
    def state(self) -> str:
        """Of the search, in a word."""
        if self.search.state is SearchState.RUNNING and self.failed_tasks:
            return "failed"
        if self.search.state in {SearchState.RUNNING, SearchState.WAITING} and self.paused:
            return "paused"
        return self.search.state.value

    @property
    def share(self) -> float:
        """Share of the iterations that the loop may take, 0 to 1; 1 at the end."""
        if self.search.state is SearchState.DONE:
            return 1.0
        done = len(self.progress.agreement)
        return min(done / self.config.convergence.max_iterations, 1.0)

    @property
    def validating(self) -> bool:
        """Whether the loop is over, if its minima are confirmed, and the reference relaxes them."""
        open_ = any(
            one.kind in {"validate", "rank"} and one.state != "COMPLETED" for one in self.flow.tasks
        )
        return open_ and not self.larger_cells_wait

    @property
    def larger_cells_wait(self) -> bool:
        """Whether larger cells are still to come."""
        return self.progress.to_relax < self.progress.candidates

    def latest_end(self, now: float | None = None) -> float | None:
        """When it ends at the latest, seconds since the epoch, if iterations stay as long.

        None where that cannot be said: nothing finished yet, failed, paused, larger cells are
        still to come, or the loop is over and the reference validates.
        """
        pace = self.flow.pace()
        left = self.config.convergence.max_iterations - len(self.progress.agreement)
        if self.state not in {"running", "waiting"} or pace is None:
            return None
        if self.validating or self.larger_cells_wait:
            return None
        return (time.time() if now is None else now) + left * pace


def stage(flow: Flow) -> str:
    """What the search is doing."""
    doing = {
        "generate": "generating the pool",
        "label": "labelling",
        "train": "training",
        "relax": "relaxing the pool",
        "select": "clustering",
        "converge": "checking convergence",
        "validate": "validating",
        "rank": "ranking",
    }
    now = {one.kind for one in flow.in_state(*UNDER_WAY)}
    return ", ".join(words for kind, words in doing.items() if kind in now)


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
