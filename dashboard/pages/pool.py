"""The pool of one iteration: energies against volumes, and a map of the descriptors."""

from collections.abc import Sequence
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from pyrite.dashboard.figures.pool import descriptor_map, energy_volume
from pyrite.dashboard.figures.style import empty
from pyrite.dashboard.pages.frame import Tab, card, graph, name_in, stamp_of, stamped
from pyrite.dashboard.queries.pool import Pool
from pyrite.dashboard.queries.pool import pool as read_pool
from pyrite.dashboard.source import Source

ABOUT_ENERGY = (
    "Energies by the iteration's networks, before (open) and after (filled) its relaxations. "
    "Coloured: the top clusters, #1 the lowest. Axes leave out the few highest; double-click shows "
    "all."
)
ABOUT_MAP = (
    "Each candidate's descriptor, the mean features of the networks' atoms, on the two directions "
    "of largest variance. Colours are those of the other figure."
)


def shown(pool: Pool) -> str:
    """What part of the pool a figure shows, in words."""
    what = (
        f"All {pool.shown} intact candidates of iteration {pool.iteration}"
        if pool.everything
        else f"{pool.shown} intact candidates of iteration {pool.iteration}, spread evenly over "
        f"the pool's {pool.relaxed}, the best and the selected ones among them"
    )
    return f"{what}; {pool.broken} broken ones are left out."


def _last(source: Source, name: str) -> int | None:
    relaxed = [
        int(one["iteration"])
        for one in source.views(name).iterations(name)
        if one.get("clusters") is not None
    ]
    return relaxed[-1] if relaxed else None


def _drawn(source: Source, name: str, iteration: int | None) -> Sequence[Any]:
    if iteration is None:
        nothing = empty("No iteration has clustered its pool yet.", height=440)
        return nothing, nothing, "There is nothing to show yet."
    pool = read_pool(source.views(name), name, iteration)
    return energy_volume(pool), descriptor_map(pool), shown(pool)


def _layout(source: Source, name: str) -> Component:
    last = _last(source, name)
    energies, mapped, told = _drawn(source, name, last)
    return stamped(
        source,
        name,
        TAB,
        html.Section(
            [
                html.Label("Iteration", htmlFor="iteration", className="slider-label"),
                html.Div(
                    dcc.Slider(
                        id="iteration",
                        min=0,
                        max=max(last or 0, 1),
                        step=1,
                        value=last or 0,
                        marks=_marks(last),
                        disabled=not last,
                        allow_direct_input=False,
                    ),
                    className="slider",
                ),
                html.P(told, id="shown", className="about"),
            ],
            className="card wide",
        ),
        card("Energy and volume", graph("energy-volume", energies), about=ABOUT_ENERGY),
        card("Map of the descriptors", graph("map", mapped), about=ABOUT_MAP),
    )


def _marks(last: int | None) -> dict[str, str]:
    number = last or 0
    step = max(1, number // 10)
    return {str(k): str(k) for k in range(0, number + 1, step)}


TAB = Tab(slug="pool", title="Pool", layout=_layout)


def register(app: Dash, source: Source) -> None:
    """Let the slider choose, and follow the search while it stands at the last iteration."""

    # Two callbacks: a clock that ran into one that draws would have its answer thrown away.
    @app.callback(  # type: ignore[untyped-decorator]
        Output("stamp-pool", "data"),
        Output("iteration", "max"),
        Output("iteration", "marks"),
        Output("iteration", "value"),
        Output("iteration", "disabled"),
        Input("tick-pool", "n_intervals"),
        State("stamp-pool", "data"),
        State("iteration", "value"),
        State("iteration", "max"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def follow(
        _: int | None, known: str | None, value: int | None, most: int, path: str | None
    ) -> Sequence[Any]:
        name = name_in(path)
        now = stamp_of(source, name) if name else None
        if name is None or now == known:
            return (no_update,) * 5
        last = _last(source, name)
        stands_at_end = value is None or value == most
        return now, max(last or 0, 1), _marks(last), last if stands_at_end else value, not last

    @app.callback(  # type: ignore[untyped-decorator]
        Output("energy-volume", "figure"),
        Output("map", "figure"),
        Output("shown", "children"),
        Input("iteration", "value"),
        Input("stamp-pool", "data"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def draw(value: int | None, _: str | None, path: str | None) -> Sequence[Any]:
        name = name_in(path)
        if name is None:
            return (no_update,) * 3
        last = _last(source, name)
        return _drawn(source, name, None if last is None else min(value or 0, last))
