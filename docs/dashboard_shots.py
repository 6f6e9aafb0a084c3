"""Take the screenshots of dashboard.md from a search in a store.

python docs/dashboard_shots.py --home DIR NAME [--phone DIRECTORY]
"""

import argparse
import shutil
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server as listen

from pyrite.dashboard.app import make_server
from pyrite.dashboard.server import bind
from pyrite.dashboard.source import Source
from pyrite.launchers.session import attached

IMAGES = Path(__file__).resolve().parent / "images"
PAGES = {
    "searches": ("/", "#searches table"),
    "overview": ("", "#ledger .main-svg"),
    "crystals": ("/crystals", "#powder .main-svg"),
    "pool": ("/pool", "#map .main-svg"),
    "learning": ("/learning", "#calibration-force .main-svg"),
    "tasks": ("/tasks", "#workflow .main-svg"),
}
# Heights in pixels; the workflow without the list below it, which names directories.
IN_DOCS = {"overview": 1240, "crystals": 1240, "pool": 1020, "tasks": 990}
SETTLE = 1500  # milliseconds for figures in three dimensions
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


def main() -> None:
    """Serve the store, visit every page, save what is seen."""
    parser = argparse.ArgumentParser(description="Screenshots of the dashboard.")
    parser.add_argument("name", metavar="NAME", help="of a search")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--all", type=Path, help="directory for all pages, also on a phone")
    options = parser.parse_args()
    with attached(options.home, create=False) as session, bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = make_server(Source(session.store, session.home), None)
        running = listen("127.0.0.1", port, server, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            take(f"http://127.0.0.1:{port}", options.name, options.all)
        finally:
            running.shutdown()
            thread.join()


def take(address: str, name: str, everything: Path | None) -> None:
    """Visit the pages at both sizes."""
    IMAGES.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        for kind, width, height in (("wide", 1280, 1240), ("phone", 390, 844)):
            page = browser.new_page(viewport={"width": width, "height": height})
            for slug, (path, wanted) in PAGES.items():
                place = path if slug == "searches" else f"/search/{name}{path}"
                page.goto(address + place)
                page.wait_for_selector(wanted, state="attached", timeout=60_000)
                page.wait_for_timeout(SETTLE)
                if kind == "wide" and slug in IN_DOCS:
                    clip = {"x": 0, "y": 0, "width": width, "height": IN_DOCS[slug]}
                    page.screenshot(path=IMAGES / f"dashboard-{slug}.png", clip=clip)
                if everything is not None:
                    everything.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=everything / f"{kind}-{slug}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
