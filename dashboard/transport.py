"""How answers travel: compressed, cached where they never change, and to no other machine."""

import gzip
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


class Compressor:
    """Compresses answers; scripts that never change only once."""

    def __init__(self) -> None:
        self._scripts: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __call__(self, response: "Response") -> "Response":
        """Compress one answer if its reader can take that."""
        from flask import request

        if (
            response.status_code != 200
            or "gzip" not in request.headers.get("Accept-Encoding", "")
            or response.headers.get("Content-Encoding")
            or not (response.mimetype or "").startswith(_TEXTS)
        ):
            return response
        response.direct_passthrough = False
        content = response.get_data()
        if len(content) >= LEAST:
            response.set_data(self._compressed(request.path, content))
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Length"] = str(response.content_length)
            response.vary.add("Accept-Encoding")
        if request.path.startswith(_FIXED):  # browsers keep them, and ask whether they still hold
            response.headers["Cache-Control"] = "private, no-cache"
            response.add_etag(overwrite=True)
            response.make_conditional(request)
        return response

    def _compressed(self, path: str, content: bytes) -> bytes:
        if not path.startswith(_FIXED):
            return gzip.compress(content, LEVEL, mtime=0)
        with self._lock:
            if path not in self._scripts:
                self._scripts[path] = gzip.compress(content, 9, mtime=0)
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
