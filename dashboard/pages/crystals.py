"""The ranking: each crystal in three dimensions, its powder pattern, and files of it."""

from collections.abc import Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from pyrite.dashboard.figures.crystal import powder, structure
from pyrite.dashboard.index import CRYSTALS
from pyrite.dashboard.pages.frame import Tab, address, card, energy, graph, name_in, stamped, table
from pyrite.dashboard.queries.structures import Crystals, Entry, content, crystals, pattern
from pyrite.dashboard.source import Source

_PICK, _PICKED = "pick", "pick picked"
HEADINGS = (
    *("rank", "energy (eV/atom)", "above lowest (meV/atom)", "space group", "volume (Å³/atom)"),
    *("at rest", "first found", "calls until then", "stress left (GPa)"),
)


def ranking_rows(found: Crystals) -> list[list[str]]:
    """The ranking as text, a list for each crystal, its place first."""
    return [
        [
            str(one.place),
            energy(one.energy),
            f"{one.above:.1f}",
            f"{one.group} ({one.number})",
            f"{one.volume:.2f}",
            "yes" if one.converged else "no",
            "–" if one.found is None else f"iteration {one.found}",
            "–" if one.calls is None else str(one.calls),
            "–" if one.stress is None else f"{one.stress:.2f}",
        ]
        for one in found.entries
    ]


def told(found: Crystals) -> str:
    """Whose ranking it is, in words."""
    if not found.entries:
        return "No iteration has ranked its pool yet."
    if found.ranked:
        return "Distinct crystals that the reference has relaxed, by its energies."
    return (
        f"The top clusters of iteration {found.iteration}, by the networks' energies: the "
        "reference has not relaxed them yet."
    )


def _list(source: Source, name: str) -> Component:
    found = crystals(source.views(name), name)
    if not found.entries:
        return html.P(told(found), className="empty")
    rows = []
    for one, row in zip(found.entries, ranking_rows(found), strict=True):
        button = html.Button(
            f"{one.place}.",
            id={"type": "crystal", "key": one.key},
            className=_PICKED if one is found.entries[0] else _PICK,
            title=f"Show {one.group}",
            **{"aria-label": f"Show {one.place}. {one.group}"},
        )
        rows.append([button, *row[1:]])
    numbers = (1, 2, 4, 7, 8)
    return html.Div(
        [html.P(told(found), className="about"), table(HEADINGS, rows, numbers=numbers)]
    )


def _one(source: Source, name: str, key: str | None) -> Component:
    found = crystals(source.views(name), name)
    one = found.entry(key)
    if one is None:
        return html.Div()
    symprec = source.store.get_search(name).config.validation.symprec
    title = f"{one.place}. {one.group}"
    return html.Div(
        [
            card(
                title,
                graph("structure", structure(one.crystal)),
                html.P(_files(name, one), className="files"),
                about=f"{content(one.crystal)}, space group {one.group} ({one.number}) within "
                f"{symprec:g} Å. Drag to turn.",
            ),
            card(
                "Simulated powder pattern",
                graph("powder", powder(pattern(one.crystal, symprec))),
                about=f"Of the conventional cell, symmetrised within {symprec:g} Å; without "
                "thermal motion.",
            ),
        ],
        className="pair",
    )


def _files(name: str, one: Entry) -> Sequence[Any]:
    stem = f"{address(name)}/structures/{one.key}"
    return [
        html.A("CIF", href=f"{stem}.cif", download="", className="file", id="cif"),
        html.A("POSCAR", href=f"{stem}.vasp", download="", className="file", id="poscar"),
    ]


def _layout(source: Source, name: str) -> Component:
    return stamped(
        source,
        name,
        TAB,
        dcc.Store(id="chosen"),
        card("Crystals", html.Div(_list(source, name), id="crystals"), wide=True),
        html.Div(_one(source, name, None), id="crystal", className="wide"),
    )


TAB = Tab(
    slug=CRYSTALS,
    title="Crystals",
    layout=_layout,
    live=(("crystals", "children"),),
    values=lambda source, name: (_list(source, name),),
)


def register(app: Dash, source: Source) -> None:
    """Show the crystal that was clicked at."""

    @app.callback(  # type: ignore[untyped-decorator]
        Output("crystal", "children"),
        Output("chosen", "data"),
        Output({"type": "crystal", "key": ALL}, "className"),
        Input({"type": "crystal", "key": ALL}, "n_clicks"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def show(clicks: list[int | None], path: str | None) -> tuple[Any, Any, list[Any]]:
        name, chosen = name_in(path), ctx.triggered_id
        if name is None or not any(clicks) or chosen is None:
            return no_update, no_update, [no_update] * len(clicks)
        key = chosen["key"]
        looks = [_PICKED if one["id"]["key"] == key else _PICK for one in ctx.outputs_list[2]]
        return _one(source, name, key), key, looks
