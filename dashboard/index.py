"""The HTML that every page starts from, and the plotly.js that it asks for.

A page waits for what its browser does before it draws. All of plotly.js is 4.8 MB of script, which
takes longer to start than our figures take to draw; its basic distribution (1.2 MB) draws all of
them but crystals in three dimensions, for which there is another (1.8 MB). Both lie in ``vendor``,
unchanged. They are asked for in the head of a page, so that they start while the server still reads
the store.
"""

import gzip
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dash import Dash
    from flask import Flask

VENDOR = Path(__file__).resolve().parent / "vendor"
SCRIPTS = "/plotly/"
CRYSTALS = "crystals"
"""The page of a search with three dimensions. Links to it and from it load the page anew: a
plotly.js cannot be exchanged for another one."""
_NAME = "plotly-{kind}-{version}.min.js.gz"
# Dash's table, which no page shows.
_UNUSED = re.compile(r'<script src="[^"]*/dash_table/[^"]*"></script>\n?')
_INDEX = """<!doctype html>
<html lang="en">
<head>
{metas}
<title>{title}</title>
<link rel="icon" href="data:,">
{css}
<script>window.Plotly = new Promise(function (there) {{ window.plotlyIsThere = there }})</script>
<script defer src="{plotly}" onload="plotlyIsThere()"></script>
</head>
<body>
{app_entry}
<footer>
{config}
{scripts}
{renderer}
</footer>
</body>
</html>
"""


@cache
def plotly_version() -> str:
    """Version of the plotly.js that is shipped with Pyrite."""
    (name,) = (path.name for path in VENDOR.glob(_NAME.format(kind="basic", version="*")))
    return name.split("-")[2].removesuffix(".min.js.gz")


def plotly_name(path: str) -> str:
    """Which plotly.js the page at an address needs; every version has another name, since
    browsers keep it for good."""
    kind = "gl3d" if path.strip("/").split("/")[2:3] == [CRYSTALS] else "basic"
    return _NAME.format(kind=kind, version=plotly_version())


@cache
def script(name: str) -> bytes | None:
    """A plotly.js, compressed, by its name; None if there is none of that name."""
    known = {path.name: path for path in VENDOR.glob("*.js.gz")}
    return known[name].read_bytes() if name in known else None


def make_dash(asked: Callable[[str], None], **settings: Any) -> "Dash":
    """A Dash application whose pages start as described above.

    Parameters
    ----------
    asked
        told the address of a page that a browser begins to load
    """
    from dash import Dash

    class App(Dash):  # type: ignore[misc]
        def interpolate_index(self, **parts: str) -> str:
            from flask import request

            asked(request.path)
            parts["scripts"] = _UNUSED.sub("", parts["scripts"])
            return _INDEX.format(plotly=SCRIPTS + plotly_name(request.path), **parts)

    return App("pyrite.dashboard", **settings)


def add_scripts(server: "Flask") -> None:
    """Answer requests for plotly.js."""
    from flask import Response, request

    @server.get(f"{SCRIPTS}<name>")
    def plotly_script(name: str) -> Response:
        content = script(name)
        if content is None:
            return Response("There is no such script.", 404)
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return Response(gzip.decompress(content), mimetype="text/javascript")
        answer = Response(content, mimetype="text/javascript")
        answer.headers["Content-Encoding"] = "gzip"
        answer.vary.add("Accept-Encoding")
        return answer
