"""What ``pyrite run`` shows while it runs: a live panel, or one line per event."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

if TYPE_CHECKING:
    from pyrite.config import SearchConfig
    from pyrite.launchers.bookkeeping import FireworkView, Snapshot
    from pyrite.progress import Progress

_STAGES = {
    "generate": "generating the pool",
    "label": "labelling",
    "train": "training",
    "relax": "relaxing the pool",
    "select": "clustering and selecting",
    "converge": "checking convergence",
    "validate": "validating",
    "rank": "ranking",
}


@dataclass(frozen=True)
class Moment:
    """All that a view may show."""

    config: "SearchConfig"
    fireworks: "Snapshot"
    progress: "Progress"
    workers: int
    deaths: int
    elapsed: float


class View(Protocol):
    """Shows one moment after another; a context manager."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *exception: object) -> None:
        """End."""

    def show(self, moment: Moment) -> None:
        """Bring the view up to date."""

    def say(self, text: str) -> None:
        """Tell something that happened beside the search."""


def make_view(console: Console, *, live: bool) -> View:
    """A panel on a terminal, lines anywhere else or if asked for."""
    return Panels(console) if live and console.is_terminal else Lines(console)


def stage(fireworks: "Snapshot") -> str:
    """What the search is doing, in words."""
    for states in (("RUNNING",), ("READY", "RESERVED")):
        doing = {one.name.partition(" ")[0] for one in fireworks.in_state(*states)}
        words = [words for kind, words in _STAGES.items() if kind in doing]
        if words:
            return ", ".join(words) if states == ("RUNNING",) else f"about to start {words[0]}"
    return "waiting"


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours when there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass
class Panels:
    """A panel that is redrawn in place."""

    console: Console
    _live: Live = field(init=False)

    def __post_init__(self) -> None:
        self._live = Live(console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def show(self, moment: Moment) -> None:
        """Redraw."""
        self._live.update(panel(moment))

    def say(self, text: str) -> None:
        """Print above the panel."""
        self._live.console.print(text, markup=False, highlight=False)


def panel(moment: Moment) -> Panel:
    """The live panel at one moment."""
    now, config = moment.progress, moment.config
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_column()
    most = config.convergence.max_iterations
    rows.add_row("stage", stage(moment.fireworks))
    rows.add_row("iteration", "-" if now.iteration is None else f"{now.iteration} (at most {most})")
    rows.add_row(
        "labels",
        f"{now.labels_ok} in all, {now.labels_done} of {now.labels_wanted} in this iteration"
        + (f", {now.labels_failed} failed" if now.labels_failed else ""),
    )
    rows.add_row("members trained", f"{now.trained} of {config.surrogate.members}")
    rows.add_row("pool relaxed", f"{min(now.relaxed, now.to_relax)} of {now.to_relax}")
    rows.add_row(
        "lowest energy", "-" if now.lowest_energy is None else f"{now.lowest_energy:.4f} eV/atom"
    )
    rows.add_row("last iteration", now.verdict or "-")
    rows.add_row("reference calls", str(now.reference_calls))
    dead = f", {moment.deaths} died and were replaced" if moment.deaths else ""
    rows.add_row("workers", f"{moment.workers} alive{dead}")
    rows.add_row("elapsed", clock(moment.elapsed))
    title = f"{config.name} ({config.composition})"
    return Panel(rows, title=title, title_align="left", expand=False)


def _launch_order(firework: "FireworkView") -> int:
    return 0 if firework.launch is None else firework.launch.launch_id


@dataclass
class Lines:
    """One line per event, for files and pipes."""

    console: Console
    _began: float = field(default_factory=time.monotonic)
    _seen: dict[int, "FireworkView"] | None = None
    _iterations: int | None = None
    _deaths: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def show(self, moment: Moment) -> None:
        """Print what is new."""
        now = {one.fw_id: one for one in moment.fireworks.members}
        before = now if self._seen is None else self._seen
        # Those of a workflow that has completed are not among the unfinished any more.
        gone = [one for fw_id, one in before.items() if fw_id not in now]
        for one in sorted([*gone, *now.values()], key=_launch_order):
            state = one.state if one.fw_id in now else "COMPLETED"
            told = before[one.fw_id].state if one.fw_id in before else None
            if told != state and state in {"COMPLETED", "FIZZLED"}:
                self.say(f"{one.name}: {'done' if state == 'COMPLETED' else 'failed'}")
        self._seen = now
        if moment.deaths > self._deaths:
            self.say("a worker died; its task is run again")
        self._deaths = moment.deaths
        self._tell_iterations(moment)

    def say(self, text: str) -> None:
        """Print one line with the time."""
        elapsed = clock(time.monotonic() - self._began)
        self.console.print(f"{elapsed:>7}  {text}", markup=False, highlight=False, soft_wrap=True)

    def _tell_iterations(self, moment: Moment) -> None:
        now = moment.progress
        finished = len(now.agreement)
        if self._iterations is not None and finished > self._iterations:
            energy = "-" if now.lowest_energy is None else f"{now.lowest_energy:.4f} eV/atom"
            self.say(
                f"iteration {finished - 1} ended: {now.labels_ok} labels, lowest {energy}; "
                f"{now.verdict}"
            )
        self._iterations = finished
