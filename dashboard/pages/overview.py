"""The first page on a search: energies, the convergence test, relaxations, labels, the ledger."""

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from pyrite.dashboard.figures.costs import ledger
from pyrite.dashboard.figures.loop import agreement, energies, labels, outcomes
from pyrite.dashboard.pages.frame import Tab, card, graph, stamped
from pyrite.dashboard.queries.costs import Costs, costs
from pyrite.dashboard.queries.loop import loop
from pyrite.dashboard.queries.pool import outcomes as read_outcomes
from pyrite.dashboard.queries.settings import provenance_rows, settings_text
from pyrite.dashboard.source import Source
from pyrite.views import Views

ABOUT_ENERGIES = (
    "Line and dashes: the best member of each top cluster, as the mean of the networks. Diamonds "
    "and stars: what the reference says of labels, and of the crystals that it relaxes at the end."
)
ABOUT_OUTCOMES = (
    "Converged: forces below fmax. Stalled: no lower energy for a while. Uncertain: the networks "
    "disagreed on the way, where a label teaches most; some are sure of the end. Broken: exploded, "
    "collapsed, or not a number."
)
ABOUT_LEDGER = (
    "Wall time of tasks; waiting for workers is not in it. Shares are of the whole search."
)


def _values(source: Source, name: str) -> Sequence[Any]:
    views = source.views(name)
    looped, spent = loop(views, name), costs(views, name)
    return (
        energies(looped),
        agreement(looped),
        outcomes(read_outcomes(views, name)),
        labels(spent),
        ledger(spent),
        verdict(views, name),
        problems(spent),
    )


def verdict(views: Views, name: str) -> str:
    """The last verdict in words."""
    looped = loop(views, name)
    judged = [one for one in looped.cycles if one.reason]
    if not judged:
        return "No verdict yet."
    ended = f" The loop ended by {looped.ended_by.replace('_', ' ')}." if looped.ended_by else ""
    return f"Iteration {judged[-1].number}: {judged[-1].reason}.{ended}"


def problems(spent: Costs) -> list[Component]:
    """Why labels failed, one kind a line."""
    return [html.Li(f"{count} failed: {kind}") for kind, count in spent.problems]


def _layout(source: Source, name: str) -> Component:
    drawn = _values(source, name)
    views = source.views(name)
    config = source.store.get_search(name).config
    return stamped(
        source,
        name,
        TAB,
        card("Energies", graph("energies", drawn[0]), about=ABOUT_ENERGIES, wide=True),
        card(
            "Has it converged?",
            graph("agreement", drawn[1]),
            about=html.Span(drawn[5], id="verdict"),
        ),
        card("Where did the time go?", graph("ledger", drawn[4]), about=ABOUT_LEDGER),
        card("How did relaxations end?", graph("outcomes", drawn[2]), about=ABOUT_OUTCOMES),
        card(
            "Labels by the reference", graph("labels", drawn[3]), html.Ul(drawn[6], id="problems")
        ),
        card(
            "Settings, versions and seed",
            html.Dl(
                [
                    html.Div([html.Dt(key), html.Dd(value)])
                    for key, value in provenance_rows(views, name)
                ],
                className="facts",
            ),
            html.Details([html.Summary("All settings"), html.Pre(settings_text(config))]),
            wide=True,
        ),
    )


TAB = Tab(
    slug="",
    title="Overview",
    layout=_layout,
    live=(
        ("energies", "figure"),
        ("agreement", "figure"),
        ("outcomes", "figure"),
        ("labels", "figure"),
        ("ledger", "figure"),
        ("verdict", "children"),
        ("problems", "children"),
    ),
    values=_values,
)
