"""What a browser is sent before a page shows anything, and what is made meanwhile."""

import gzip
import subprocess
import sys
import threading
import time

import pytest
from flask import Flask
from plotly.offline import get_plotlyjs_version

from pyrite.dashboard import ahead
from pyrite.dashboard.ahead import Ahead
from pyrite.dashboard.index import VENDOR, add_scripts, plotly_name, plotly_version, script
from pyrite.dashboard.transport import protect


def test_the_shipped_plotly_is_that_of_the_python_package() -> None:
    assert plotly_version() == get_plotlyjs_version()
    for kind in ("basic", "gl3d"):
        content = gzip.decompress(
            (VENDOR / f"plotly-{kind}-{plotly_version()}.min.js.gz").read_bytes()
        )
        assert f"plotly.js ({kind} - minified) v{plotly_version()}".encode() in content[:200]


def test_only_crystals_in_three_dimensions_need_the_larger_script() -> None:
    assert "gl3d" in plotly_name("/search/s/crystals")
    for path in ("/", "/search/crystals", "/search/s", "/search/s/pool"):
        assert "basic" in plotly_name(path)
    assert script("../index.py") is None


def test_scripts_travel_compressed_and_are_kept_for_good() -> None:
    server = Flask("test")
    protect(server)
    add_scripts(server)
    client, address = server.test_client(), f"/plotly/{plotly_name('/')}"
    answer = client.get(address, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "immutable" in answer.headers["Cache-Control"]
    assert len(answer.data) < 500_000
    assert client.get(address).data == gzip.decompress(answer.data)
    assert client.get("/plotly/other.js").status_code == 404


def test_a_page_is_made_ahead_once_for_whoever_takes_it_first() -> None:
    made: list[str] = []
    pages = Ahead(lambda path: made.append(path) or f"{path} {len(made)}")
    pages.begin("/a")
    assert pages.take("/a") == "/a 1"
    assert pages.take("/a") == "/a 2"


def test_whoever_takes_a_page_waits_for_it_rather_than_make_another() -> None:
    go, made = threading.Event(), list[int]()

    def make(path: str) -> int:
        go.wait(10)
        made.append(1)
        return len(made)

    pages = Ahead(make)
    pages.begin("/a")
    threading.Timer(0.1, go.set).start()
    assert pages.take("/a") == 1
    assert len(made) == 1


def test_what_a_page_fails_with_is_told_to_whoever_takes_it() -> None:
    def make(path: str) -> str:
        raise ValueError(path)

    pages = Ahead(make)
    pages.begin("/a")
    with pytest.raises(ValueError, match="/a"):
        pages.take("/a")


def test_an_old_page_is_made_anew_and_pages_that_nobody_takes_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    pages = Ahead(lambda path: made.append(path) or len(made))
    pages.begin("/old")
    while not made:
        time.sleep(0.01)
    now = time.monotonic()
    monkeypatch.setattr(ahead.time, "monotonic", lambda: now + 2 * ahead.AGE)
    assert pages.take("/old") == 2
    for number in range(3 * ahead.MOST):
        pages.begin(f"/{number}")
    assert len(pages._begun) == ahead.MOST


def test_what_the_json_encoder_looks_for_is_imported_before_pages_are_made_in_threads() -> None:
    """It takes types from modules that it finds half imported, and fails."""
    code = (
        "import sys\n"
        "from pyrite.dashboard.app import make_server\n"
        "from pyrite.dashboard.source import Source\n"
        "make_server(Source(None), None)\n"
        "print({'numpy', 'PIL.Image', 'pandas'} <= set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "True", done.stdout + done.stderr
