"""All searches of the store."""

from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from pyrite.dashboard.pages.frame import address, chip, counted, energy, table, tick, when
from pyrite.dashboard.queries.overview import Summary
from pyrite.dashboard.source import Source

_HEADINGS = (
    *("search", "state", "composition", "iteration", "progress", "lowest (eV/atom)"),
    *("reference calls", "failed", "added", "end"),
)
_NUMBERS = (3, 5, 6, 7)


def layout(source: Source) -> Component:
    """The table of all searches."""
    return html.Div(
        [
            html.H1("Searches"),
            tick(source, "searches"),
            dcc.Store(id="stamp-searches", data=_stamp(source)),
            html.Div(_table(source), id="searches"),
        ],
        className="body single",
    )


def register(app: Dash, source: Source) -> None:
    """Keep the table up to date."""

    @app.callback(  # type: ignore[untyped-decorator]
        Output("searches", "children"),
        Output("stamp-searches", "data"),
        Input("tick-searches", "n_intervals"),
        State("stamp-searches", "data"),
        prevent_initial_call=True,
    )
    def update(_: int | None, known: str | None) -> tuple[Any, Any]:
        now = _stamp(source)
        return (no_update, no_update) if now == known else (_table(source), now)


def _stamp(source: Source) -> str:
    names = [search.search_id for search in source.store.list_searches()]
    return str(hash(tuple((name, source.pulse(name)) for name in names)))


def _table(source: Source) -> Component:
    searches = source.searches()
    if not searches:
        return html.P("There are no searches yet: pyrite run starts one.", className="empty")
    return table(_HEADINGS, [_row(one) for one in searches], numbers=_NUMBERS, stacked=True)


def _row(one: Summary) -> list[Any]:
    now = one.progress
    failed = " and ".join(
        counted(count, what)
        for count, what in ((now.labels_failed, "label"), (one.failed_tasks, "task"))
        if count
    )
    end = one.search.finished if one.state == "done" else one.latest_end()
    limit = "" if one.state == "done" or end is None else "≤ "
    most = one.config.convergence.max_iterations
    return [
        dcc.Link(one.name, href=address(one.name)),
        chip(one.state),
        one.config.composition,
        "–" if now.iteration is None else str(now.iteration),
        html.Span(
            [
                html.Progress(
                    value=str(round(one.share, 3)), max="1", **{"aria-label": "share of iterations"}
                ),
                f" {len(now.agreement)}" + ("" if one.state == "done" else f" of ≤ {most}"),
            ],
            title=f"{counted(len(now.agreement), 'iteration')} done, of {most} at most",
        ),
        energy(one.best),
        str(now.reference_calls),
        failed or "0",
        when(one.search.created),
        limit + when(end),
    ]
