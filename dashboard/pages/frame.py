"""What all pages share: addresses, the header of a search, cards, tables, and their updates."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from pyrite.dashboard.figures.style import CONFIG
from pyrite.dashboard.index import CRYSTALS
from pyrite.dashboard.queries.costs import costs
from pyrite.dashboard.queries.fireworks import UNDER_WAY
from pyrite.dashboard.queries.learning import learning_curve
from pyrite.dashboard.queries.overview import Summary, duration, stage
from pyrite.dashboard.source import Source
from pyrite.documents import SearchState

SILENCE = 150.0
"""Seconds without a sign of life after which a running task is suspicious."""


@dataclass(frozen=True)
class Tab:
    """One page on a search.

    Attributes
    ----------
    slug
        last part of its address, empty for the first page
    layout
        draws the page; called once when it is opened
    live
        (component, property) of what changes while the page is open
    values
        the new values of those, in that order
    """

    slug: str
    title: str
    layout: Callable[[Source, str], Component]
    live: Sequence[tuple[str, str]] = ()
    values: Callable[[Source, str], Sequence[Any]] = lambda *_: ()


def address(name: str, slug: str = "") -> str:
    """Path of a page on a search."""
    return f"/search/{quote(name)}" + (f"/{slug}" if slug else "")


def name_in(path: str | None) -> str | None:
    """The search that a path is about, if any."""
    parts = (path or "").strip("/").split("/")
    return unquote(parts[1]) if len(parts) > 1 and parts[0] == "search" else None


def slug_in(path: str | None) -> str:
    """Which page on it."""
    parts = (path or "").strip("/").split("/")
    return parts[2] if len(parts) > 2 else ""


def keep_alive(app: Dash, source: Source, tab: Tab) -> None:
    """Update a page when its search has changed, and send nothing when it has not."""
    stamp = f"stamp-{tab.slug}"

    @app.callback(  # type: ignore[untyped-decorator]
        Output(stamp, "data"),
        *(Output(*one) for one in tab.live),
        Input(f"tick-{tab.slug}", "n_intervals"),
        State(stamp, "data"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def update(_: int | None, known: str | None, path: str | None) -> Sequence[Any]:
        name = name_in(path)
        with source.one_moment():
            now = stamp_of(source, name) if name else None
            if name is None or now == known:
                return (no_update,) * (1 + len(tab.live))
            return (now, *tab.values(source, name))


def stamp_of(source: Source, name: str) -> str:
    """The pulse of a search as a browser keeps it."""
    return str(hash(source.pulse(name)))


def stamped(source: Source, name: str, tab: Tab, *children: Any) -> Component:
    """The body of a page, with the pulse that it shows."""
    return html.Div(
        [
            dcc.Store(id=f"stamp-{tab.slug}", data=stamp_of(source, name)),
            tick(source, tab.slug),
            *children,
        ],
        id=f"body-{tab.slug}",
        className="body",
    )


def tick(source: Source, of: str) -> Component:
    """A clock for one part of a page, which goes away with it."""
    return dcc.Interval(id=f"tick-{of}", interval=round(1000 * source.interval))


# --------------------------------------------------------------------- pieces


def card(title: str, *children: Any, about: Any = "", wide: bool = False) -> Component:
    """A titled box; `about` says how to read what is in it."""
    said = [html.P(about, className="about")] if about else []
    return html.Section(
        [html.H2(title), *said, *children],
        className="card wide" if wide else "card",
        **{"aria-label": title},
    )


def graph(identity: str, figure: Any) -> Component:
    """A figure."""
    height = {"height": f"{figure.layout.height}px"}
    return dcc.Graph(id=identity, figure=figure, config=CONFIG, responsive=True, style=height)


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    numbers: Sequence[int] = (),
    stacked: bool = False,
) -> Component:
    """A table; columns in `numbers` align right.

    On narrow screens it scrolls sideways, or, if `stacked`, every row becomes a list.
    """

    def look(index: int) -> str:
        return "number" if index in numbers else ""

    head = [html.Th(one, className=look(i), scope="col") for i, one in enumerate(headings)]
    body = [
        html.Tr(
            [
                html.Td(value, className=look(i), **{"data-label": headings[i]})
                for i, value in enumerate(row)
            ]
        )
        for row in rows
    ]
    return html.Div(
        html.Table([html.Thead(html.Tr(head)), html.Tbody(body)]),
        className="stacked" if stacked else "scroll",
        tabIndex=None if stacked else 0,  # keys scroll what has the focus
    )


def chip(state: str) -> Component:
    """A state as a word on a colour."""
    return html.Span(state, className=f"chip {state.lower()}")


def when(seconds: float | None) -> str:
    """A moment in this machine's time zone."""
    if seconds is None:
        return "–"
    moment = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.now().astimezone().date()
    return moment.strftime("%H:%M" if moment.date() == today else "%Y-%m-%d %H:%M")


def counted(number: int, thing: str) -> str:
    """So many of something."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def energy(value: float | None) -> str:
    """An energy per atom, without its unit."""
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


# --------------------------------------------------------------------- header


def header(source: Source, name: str, slug: str, tabs: Sequence[Tab]) -> Component:
    """Name, composition and state of a search, the way to its pages, and five answers."""
    return html.Div(
        [
            tick(source, "answers"),
            html.Div(answers(source, name), id="answers"),
            html.Nav(
                [
                    # Another plotly.js comes with a new page only; see pyrite.dashboard.index.
                    (html.A if CRYSTALS in (slug, tab.slug) else dcc.Link)(
                        tab.title,
                        href=address(name, tab.slug),
                        className="leaf here" if tab.slug == slug else "leaf",
                    )
                    for tab in tabs
                ],
                className="tabs",
                **{"aria-label": f"Pages on {name}"},
            ),
        ]
    )


def answers(source: Source, name: str) -> list[Component]:
    """Is it working, is it learning, what has it found, what did it cost, when will it end?"""
    summary = source.summary(name)
    tiles = (
        ("Is it working?", _working(summary)),
        ("Is it learning?", _learning(source, name)),
        ("What has it found?", _found(summary)),
        ("What did it cost?", _cost(source, name)),
        ("When will it end?", _end(summary)),
    )
    error = summary.search.error
    title = html.Div(
        [
            html.H1(name),
            html.Span(summary.config.composition, className="composition"),
            chip(summary.state),
        ],
        className="title",
    )
    said = [html.P(error, className="error", role="alert")] if error else []
    boxes = [
        html.Div(
            [html.Dt(question), html.Dd([html.Strong(first), html.Span(rest)])], className="tile"
        )
        for question, (first, rest) in tiles
    ]
    return [title, *said, html.Dl(boxes, className="tiles")]


def _working(summary: Summary) -> tuple[str, str]:
    now, flow = summary.progress, summary.flow
    if summary.state == "done":
        ended = when(summary.search.finished)
        return "Done", f"ended {ended} after {counted(len(now.agreement), 'iteration')}"
    if summary.state == "paused":
        return "Paused", "no task starts until it is resumed"
    if summary.state == "failed":
        failed = summary.failed_tasks
        return "Failed", counted(failed, "failed task") if failed else "see the reason above"
    at_work = len(flow.in_state(*UNDER_WAY))
    if not at_work:
        return "Nobody is at it", "start workers: pyrite run with its settings resumes it"
    quiet = time.time() - (flow.last_sign or time.time())
    sign = f"silent for {duration(quiet)}" if quiet > SILENCE else "alive"
    k = "–" if now.iteration is None else now.iteration
    return (
        f"{stage(flow)}".capitalize(),
        f"iteration {k}, {counted(at_work, 'task')} at work, {sign}",
    )


def _learning(source: Source, name: str) -> tuple[str, str]:
    errors = learning_curve(source.views(name), name)
    if not errors:
        return "Not yet", "no network has been trained"

    def mean(iteration: int) -> float:
        mine = [one.energy for one in errors if one.iteration == iteration]
        return 1000 * sum(mine) / len(mine)

    first, last = errors[0].iteration, errors[-1].iteration
    rest = f"held-out energy error with {errors[-1].labels} labels"
    if last > first:
        rest += f"; {mean(first):.0f} in the first iteration"
    return f"{mean(last):.0f} meV/atom", rest


def _found(summary: Summary) -> tuple[str, str]:
    if summary.best is None:
        return "Nothing yet", "the pool has not been ranked"
    by = "by the reference" if summary.ranked else "by the networks, not validated"
    if summary.ranked:
        return f"{energy(summary.best)} eV/atom", f"{summary.first}, {by}"
    agreeing, compared = summary.progress.agreement[-1]
    return f"{energy(summary.best)} eV/atom", f"{by}; {agreeing} of {compared} top unchanged"


def _cost(source: Source, name: str) -> tuple[str, str]:
    spent = costs(source.views(name), name)
    calls = sum(spent.calls.values())
    failed = sum(spent.failed.values())
    labels = counted(sum(spent.labels.values()), "label")
    return counted(calls, "reference call"), (
        f"{duration(spent.total_seconds)} of tasks, {failed} of {labels} failed"
        if spent.total_seconds
        else "nothing has been calculated"
    )


def _end(summary: Summary) -> tuple[str, str]:
    done, most = len(summary.progress.agreement), summary.config.convergence.max_iterations
    if summary.search.state is SearchState.DONE:
        return when(summary.search.finished), "it has ended"
    if summary.validating and summary.state == "running":
        return "Soon", "the reference relaxes the best crystals"
    if summary.state == "failed":
        return "Not by itself", "mend the cause, then run the failed tasks again"
    if summary.state == "paused":
        return "Not by itself", "resume it"
    end, pace = summary.latest_end(), summary.flow.pace()
    if end is None or pace is None:
        if pace is None:
            return "Unknown", "no iteration has ended yet"
        waiting = "larger cells are still to come" if summary.larger_cells_wait else None
        return "Unknown", waiting or "it stands still"
    return f"{when(end)} at the latest", (
        f"{counted(most - done, 'more iteration')} of {duration(pace)}; sooner if it converges"
    )
