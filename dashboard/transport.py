"""How answers travel: compressed, cached where they never change, and to no other machine."""

import gzip
import re
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask, Response

LEAST = 1000  # bytes; below, compression gains nothing
LEVEL = 6
_TEXTS = ("text/", "application/json", "application/javascript", "image/svg")
# plotly.js compiles its shaders' helpers with Function, and writes styles into its figures.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
_FIXED = "/_dash-component-suites/"
# Dash writes versions and times of its files into their names, and we that of plotly.js.
_VERSIONED = re.compile(r"/_dash-component-suites/.*\.v\d+_\d+_\d+m\d+\.|/plotly/")
_YEAR = 31536000  # seconds


class Compressor:
    """Compresses answers; scripts that never change only once."""

    def __init__(self) -> None:
        self._scripts: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __call__(self, response: "Response") -> "Response":
        """Compress one answer if its reader can take that."""
        from flask import request

        if response.status_code != 200:
            return response
        if (
            "gzip" in request.headers.get("Accept-Encoding", "")
            and not response.headers.get("Content-Encoding")
            and (response.mimetype or "").startswith(_TEXTS)
        ):
            response.direct_passthrough = False
            content = response.get_data()
            if len(content) >= LEAST:
                response.set_data(self._compressed(request.path, content))
                response.headers["Content-Encoding"] = "gzip"
                response.headers["Content-Length"] = str(response.content_length)
                response.vary.add("Accept-Encoding")
        if _VERSIONED.match(request.path):  # browsers keep them, and ask no more
            response.headers["Cache-Control"] = f"private, max-age={_YEAR}, immutable"
        elif request.path.startswith(_FIXED):  # and those they keep, but ask whether they hold
            response.headers["Cache-Control"] = "private, no-cache"
            response.add_etag(overwrite=True)
            response.make_conditional(request)
        return response

    def _compressed(self, path: str, content: bytes) -> bytes:
        if not path.startswith(_FIXED):
            return gzip.compress(content, LEVEL, mtime=0)
        with self._lock:
            if path not in self._scripts:
                self._scripts[path] = gzip.compress(content, LEVEL, mtime=0)
            return self._scripts[path]


def protect(server: "Flask") -> None:
    """Compress all answers, and forbid browsers to load or send anything elsewhere."""
    compress = Compressor()

    def finish(response: "Response") -> "Response":
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return compress(response)

    server.after_request(finish)
