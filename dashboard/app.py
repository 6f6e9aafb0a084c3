"""The dashboard as a Dash application on one store."""

import importlib
import logging
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyrite.dashboard.source import Source
from pyrite.errors import ConfigError, PyriteError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dash import Dash
    from dash.development.base_component import Component
    from flask import Flask

    from pyrite.dashboard.ahead import Ahead
    from pyrite.dashboard.pages.frame import Tab

_MEDIA = {"cif": "chemical/x-cif", "vasp": "text/plain"}

logger = logging.getLogger(__name__)


def make_server(source: Source, password: str | None) -> "Flask":
    """A web application that shows a store.

    Parameters
    ----------
    password
        None for a page that is for this machine only and can do nothing

    Raises
    ------
    ConfigError
        Dash is not installed.
    """
    require_dash()
    _import_what_json_looks_for()
    import flask

    from pyrite.dashboard.auth import guard
    from pyrite.dashboard.index import add_scripts
    from pyrite.dashboard.transport import protect

    server = flask.Flask("pyrite.dashboard", static_folder=None)
    guard(server, password)
    protect(server)
    _add_files(server, source)
    add_scripts(server)
    _make_app(server, source, has_password=password is not None)
    return server


def require_dash() -> None:
    """Make sure that everything of the extra is there.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        import dash  # noqa: F401
        import flask  # noqa: F401
        import plotly  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"dashboard and report need {error.name}, which is not installed; install it with: "
            'pip install "pyrite-csp[dashboard]"'
        ) from None


def _import_what_json_looks_for() -> None:
    """Import modules whose types plotly's JSON encoder takes from ``sys.modules``: it fails on one
    that another thread, which needs it for crystals, has imported half."""
    for name in ("numpy", "PIL.Image", "pandas"):
        with suppress(ImportError):
            importlib.import_module(name)


def _make_app(server: "Flask", source: Source, *, has_password: bool) -> "Dash":
    from dash import dcc, html

    from pyrite.dashboard.ahead import Ahead
    from pyrite.dashboard.index import make_dash
    from pyrite.dashboard.pages import crystals, learning, overview, pool, searches, tasks
    from pyrite.dashboard.pages.frame import keep_alive

    tabs = (overview.TAB, crystals.TAB, pool.TAB, learning.TAB, tasks.TAB)
    ahead = Ahead(_maker(source, tabs))
    app = make_dash(
        ahead.begin,
        server=server,
        title="Pyrite",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,  # pages come and go
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        on_error=_tell,
        assets_folder=_assets(),
    )
    leave = [html.A("Leave", href="/logout", className="leave")] if has_password else []
    app.layout = html.Div(
        [
            dcc.Location(id="url"),
            html.Header([html.A("Pyrite", href="/", className="brand"), *leave]),
            html.Div(id="notice", role="alert"),
            html.Main(id="page"),
        ]
    )
    _route(app, source, ahead)
    searches.register(app, source)
    for tab in tabs:
        if tab.live:
            keep_alive(app, source, tab)
    for page in (crystals, pool, tasks):
        page.register(app, source)
    return app


def _route(app: "Dash", source: Source, ahead: "Ahead[Component]") -> None:
    from dash import Input, Output, State, html, no_update

    from pyrite.dashboard.pages.frame import answers, name_in

    @app.callback(  # type: ignore[untyped-decorator]
        Output("page", "children"), Output("notice", "children"), Input("url", "pathname")
    )
    def show(path: str | None) -> "tuple[Component, str]":
        try:
            return ahead.take(path or "/"), ""
        except PyriteError as error:
            return html.Div(html.P(str(error), className="error", role="alert")), ""

    @app.callback(  # type: ignore[untyped-decorator]
        Output("answers", "children"),
        Output("notice", "children", allow_duplicate=True),
        Input("tick-answers", "n_intervals"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def answer(ticks: int | None, path: str | None) -> tuple[Any, Any]:
        name = name_in(path)
        if name is None or not ticks:  # a page that has just been opened has them already
            return no_update, no_update
        return answers(source, name), ""


def _maker(source: Source, tabs: "Sequence[Tab]") -> "Callable[[str], Component]":
    """What makes the page at an address."""
    from dash import html

    from pyrite.dashboard.pages import searches
    from pyrite.dashboard.pages.frame import header, name_in, slug_in

    def make(path: str) -> "Component":
        name, slug = name_in(path), slug_in(path)
        with source.one_moment():
            if name is None:
                return searches.layout(source)
            tab = next((one for one in tabs if one.slug == slug), tabs[0])
            return html.Div([header(source, name, tab.slug, tabs), tab.layout(source, name)])

    return make


def _tell(error: Exception) -> Any:
    """Say in the page what went wrong with an update; the next one may succeed."""
    from dash import no_update, set_props

    if isinstance(error, PyriteError):
        set_props("notice", {"children": str(error)})
    else:
        logger.error("the dashboard failed", exc_info=error)
        set_props("notice", {"children": "This page could not be updated; its log says why."})
    return no_update


def _add_files(server: "Flask", source: Source) -> None:
    from flask import Response

    from pyrite.dashboard.queries.structures import entry
    from pyrite.models.structure_files import structure_text

    @server.get("/search/<name>/structures/<key>.<kind>")
    def structure_file(name: str, key: str, kind: str) -> Response:
        if kind not in _MEDIA:
            return Response("There are .cif and .vasp files.", 404)
        try:
            one = entry(source.views(name), name, key)
        except StoreError as error:
            return Response(str(error), 404, mimetype="text/plain")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = structure_text(one.crystal, "cif" if kind == "cif" else "poscar")
        stem = f"{name}-{key.removeprefix('rank-')}"
        headers = {"Content-Disposition": f'attachment; filename="{stem}.{kind}"'}
        return Response(text, mimetype=_MEDIA[kind], headers=headers)


def _assets() -> str:
    from pathlib import Path

    return str(Path(__file__).resolve().parent / "assets")
