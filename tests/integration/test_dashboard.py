"""The dashboard in a real browser: every page, a structure, a download, a password, actions."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import pytest
from fireworks import LaunchPad
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pymatgen.core import Structure
from tests.integration.dashboard_searches import (
    DONE,
    EMPTY,
    ERROR,
    FAILED,
    RUNNING,
    fill,
    rocksalt,
)
from werkzeug.serving import make_server as listen

from pyrite.counters import initialise
from pyrite.dashboard.app import make_server
from pyrite.dashboard.report import write_report
from pyrite.dashboard.server import bind
from pyrite.dashboard.source import Source
from pyrite.documents import SearchState
from pyrite.launchers.dashboard_commands import actions_on
from pyrite.launchers.local_store import LocalStore
from pyrite.launchers.session import Session
from pyrite.store import Store
from pyrite.views import Views

PASSWORD = "open sesame"
PAGES = ("", "crystals", "pool", "learning", "tasks")
FIGURES = {
    "": ("energies", "agreement", "outcomes", "labels", "ledger"),
    "crystals": (),
    "pool": ("energy-volume", "map"),
    "learning": (
        *("curves", "parity-energy", "parity-force"),
        *("calibration-energy", "calibration-force"),
    ),
    "tasks": ("workflow",),
}
SECONDS = 30_000  # milliseconds, for a browser on a busy machine
# Figures in three dimensions are drawn by WebGL, without a graphics card in software.
FLAGS = (
    *("--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)


@dataclass
class Served:
    """A dashboard that runs in a thread of this process."""

    address: str
    store: Store
    launchpad: LaunchPad
    home: Path


@dataclass
class Seen:
    """What a browser asked for, and what it complained about."""

    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda told: self.complaints.append(told.text) if told.type == "error" else None,
        )


def _serve(
    store: Store, launchpad: LaunchPad, home: Path, password: str | None
) -> Iterator[Served]:
    actions = actions_on(Session(home, launchpad, store, True)) if password else None
    server = make_server(Source(store, home, actions, interval=0.5), password)
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        running = listen("127.0.0.1", port, server, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield Served(f"http://127.0.0.1:{port}", store, launchpad, home)
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.fixture(scope="module")
def filled(embedded_store: LocalStore) -> Iterator[tuple[Store, LaunchPad]]:
    name = f"test_{uuid4().hex}"
    launchpad = LaunchPad(host=embedded_store.uri, name=name, uri_mode=True, strm_lvl="CRITICAL")
    initialise(launchpad)
    store = Store.from_launchpad(launchpad)
    fill(store, launchpad)
    yield store, launchpad
    launchpad.connection.drop_database(name)
    launchpad.connection.close()


@pytest.fixture(scope="module")
def served(
    filled: tuple[Store, LaunchPad], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    yield from _serve(*filled, tmp_path_factory.mktemp("home"), PASSWORD)


@pytest.fixture(scope="module")
def unlocked(
    filled: tuple[Store, LaunchPad], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    yield from _serve(*filled, tmp_path_factory.mktemp("home"), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium (Debian, Ubuntu: apt-get install chromium)")
    expect.set_options(timeout=SECONDS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(SECONDS)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def inside(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """A browser in which the password was given; it keeps scripts from one test to the next."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(SECONDS)
    page = context.new_page()
    page.goto(served.address)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#searches")
    page.close()
    yield context
    context.close()


@pytest.fixture
def entered(inside: BrowserContext) -> Iterator[Page]:
    """A page of that browser, from which nothing leaves the machine, and which never complains."""
    page, seen = inside.new_page(), Seen()
    seen.watch(page)
    yield page
    page.close()
    assert seen.hosts
    assert {host.partition(":")[0] for host in seen.hosts} <= {"127.0.0.1", ""}
    assert seen.complaints == []


def opened(page: Page, served: Served, name: str, slug: str = "") -> None:
    page.goto(f"{served.address}/search/{name}/{slug}")
    drawn(page, slug)


def turned(page: Page, slug: str) -> None:
    page.click(f".leaf[href$='/{slug}']" if slug else ".leaf >> nth=0")
    drawn(page, slug)


def drawn(page: Page, slug: str) -> None:
    page.wait_for_selector(f"#body-{slug}")
    for figure in FIGURES[slug]:
        page.wait_for_selector(f"#{figure} .main-svg", state="attached")


def test_the_first_page_shows_all_searches(entered: Page, served: Served) -> None:
    entered.goto(served.address)
    rows = entered.locator("#searches tbody tr")
    expect(rows).to_have_count(4)
    told = {row.locator("a").inner_text(): row.inner_text() for row in rows.all()}
    assert set(told) == {DONE, RUNNING, FAILED, EMPTY}
    assert "−3.4000" in told[DONE]
    assert "done" in told[DONE]
    assert "1 task" in told[FAILED]
    assert "failed" in told[FAILED]
    assert "waiting" in told[EMPTY]
    entered.click(f"text={RUNNING}")
    expect(entered.locator("h1")).to_have_text(RUNNING)


@pytest.mark.parametrize("name", [DONE, RUNNING, FAILED, EMPTY])
def test_every_page_of_a_search_opens(entered: Page, served: Served, name: str) -> None:
    opened(entered, served, name)
    for slug in PAGES[1:]:
        turned(entered, slug)
        expect(entered.locator("h1")).to_have_text(name)
        expect(entered.locator("#notice")).to_be_empty()


def test_five_questions_are_answered(entered: Page, served: Served) -> None:
    opened(entered, served, DONE)
    assert [one.inner_text() for one in entered.locator(".tile strong").all()][1:4] == [
        "7 meV/atom",
        "−3.4000 eV/atom",
        "26 reference calls",
    ]
    entered.goto(f"{served.address}/search/{RUNNING}")
    drawn(entered, "")
    tiles = entered.locator(".tile").all_inner_texts()
    assert "Generating the pool" in tiles[0]
    assert "not validated" in tiles[2]
    opened(entered, served, FAILED)
    expect(entered.locator(".error")).to_have_text(ERROR)
    assert "1 failed task" in entered.locator(".tile").first.inner_text()


def test_a_click_shows_another_crystal_and_its_files_hold_it(
    entered: Page, served: Served, tmp_path: Path
) -> None:
    opened(entered, served, DONE, "crystals")
    expect(entered.locator("#crystal h2").first).to_have_text("1. Fm-3m")
    entered.click("button.pick >> nth=1")
    expect(entered.locator("#crystal h2").first).to_have_text("2. P4/mmm")
    expect(entered.locator("button.picked")).to_have_text("2.")
    entered.wait_for_selector("#structure canvas", state="attached")
    for identity, suffix in (("cif", "cif"), ("poscar", "vasp")):
        with entered.expect_download() as waiting:
            entered.click(f"#{identity}")
        assert waiting.value.suggested_filename == f"{DONE}-2.{suffix}"
        path = tmp_path / ("POSCAR" if suffix == "vasp" else "two.cif")
        waiting.value.save_as(path)
        expected = rocksalt(5.9, 0.2).to_structure()
        found = Structure.from_file(path)
        assert found.composition == expected.composition
        assert found.lattice.abc == pytest.approx(expected.lattice.abc, abs=1e-5)
        assert found.matches(expected, scale=False, stol=1e-3)
        mine, theirs = (np.sort(one.distance_matrix, axis=None) for one in (found, expected))
        assert np.allclose(mine, theirs, atol=1e-4)


def test_the_slider_chooses_an_iteration(entered: Page, served: Served) -> None:
    opened(entered, served, DONE, "pool")
    told = entered.locator("#shown")
    expect(told).to_contain_text("All 23 intact candidates of iteration 2; 1 broken")
    entered.locator("#iteration [role=slider]").focus()
    entered.keyboard.press("ArrowLeft")
    expect(told).to_contain_text("iteration 1")


def test_a_page_follows_its_search(entered: Page, served: Served) -> None:
    opened(entered, served, EMPTY)
    expect(entered.locator(".title .chip")).to_have_text("waiting")
    served.store.set_state(EMPTY, SearchState.FAILED, error="the disk is full")
    expect(entered.locator(".title .chip")).to_have_text("failed", timeout=SECONDS)
    served.store.set_state(EMPTY, SearchState.WAITING)
    expect(entered.locator(".title .chip")).to_have_text("waiting", timeout=SECONDS)


def test_an_unknown_search_is_told_in_a_sentence(entered: Page, served: Served) -> None:
    entered.goto(f"{served.address}/search/nosuch")
    expect(entered.locator(".error")).to_contain_text("no search called nosuch; there are:")


def test_a_wrong_password_opens_nothing(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/search/{DONE}")
    assert urlsplit(page.url).path == "/login"
    page.fill("#password", "open barley")
    page.click("button[type=submit]")
    expect(page.locator("[role=alert]")).to_have_text("That is not the password.")
    for path in ("/_dash-layout", f"/search/{DONE}/structures/rank-1.cif"):
        assert page.request.get(served.address + path).status == 401
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#searches")
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert PASSWORD not in cookie["value"]
    page.click("text=Leave")
    page.wait_for_selector("#password")
    assert page.request.get(f"{served.address}/_dash-layout").status == 401


def test_a_failed_task_is_explained_and_run_again(entered: Page, served: Served) -> None:
    logs = served.home / "logs"
    logs.mkdir(exist_ok=True)
    (logs / f"{FAILED}-0123456789.log").write_text("epoch 1\nthe last words\n")
    opened(entered, served, FAILED, "tasks")
    failed = entered.locator("#failed")
    expect(failed).to_contain_text(f"generate {FAILED}")
    expect(failed.locator(".error")).to_have_text(ERROR)
    entered.click("text=End of its traceback")
    expect(failed.locator("pre").first).to_contain_text("EngineError")
    entered.click("text=End of failed-search")
    expect(failed.locator("pre").nth(1)).to_contain_text("the last words")

    entered.click("#ask-rerun")
    entered.click("#cancel")
    assert _states(served, FAILED)["generate"] == "FIZZLED"
    entered.click("#ask-rerun")
    expect(entered.locator("#question")).to_contain_text("Run all failed tasks")
    entered.click("#confirm")
    expect(entered.locator("#done")).to_contain_text("will run again")
    assert _states(served, FAILED)["generate"] == "READY"
    assert served.store.get_search(FAILED).state is SearchState.RUNNING
    expect(failed).to_have_text("No task has failed.", timeout=SECONDS)


def test_fireworks_are_listed_without_a_mouse(entered: Page, served: Served) -> None:
    opened(entered, served, DONE, "tasks")
    cell = entered.get_by_role("button", name="List train of iteration 0")
    expect(cell).to_have_text("2 completed")
    cell.focus()
    entered.keyboard.press("Enter")
    expect(entered.locator("#fireworks h3")).to_have_text("train, iteration 0")
    expect(entered.locator("#fireworks tbody tr")).to_have_count(2)


def test_a_search_is_paused_and_resumed(entered: Page, served: Served) -> None:
    opened(entered, served, RUNNING, "tasks")
    entered.click("#ask-pause")
    entered.click("#confirm")
    expect(entered.locator("#done")).to_contain_text("are paused")
    states = _states(served, RUNNING)
    assert states.pop("generate") == "RUNNING"
    assert set(states.values()) == {"PAUSED"}
    entered.click("#ask-resume")
    entered.click("#confirm")
    expect(entered.locator("#done")).to_contain_text("may start again")
    states = _states(served, RUNNING)
    assert states.pop("generate") == "RUNNING"
    assert set(states.values()) == {"WAITING"}


def _states(served: Served, name: str) -> dict[str, str]:
    found = served.launchpad.fireworks.find({"spec.search_id": name}, {"name": 1, "state": 1})
    return {one["name"].partition(" ")[0]: one["state"] for one in found}


def test_without_a_password_nothing_can_be_done(page: Page, unlocked: Served) -> None:
    opened(page, unlocked, DONE, "tasks")
    expect(page.get_by_text("this dashboard has no password")).to_be_visible()
    assert page.locator("#ask-rerun").count() == 0
    elsewhere = page.request.get(unlocked.address, headers={"Host": "evil.example"})
    assert elsewhere.status == 403


def test_pages_fit_a_phone(browser: Browser, unlocked: Served) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True)
    page = context.new_page()
    opened(page, unlocked, DONE)
    for slug in PAGES:
        turned(page, slug)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, slug
    context.close()


@pytest.mark.parametrize("name", [DONE, EMPTY])
def test_a_report_is_one_file_that_asks_for_nothing(
    page: Page, served: Served, tmp_path: Path, name: str
) -> None:
    (path,) = write_report(Views(served.store), name, tmp_path / "report.html", "html")
    seen, asked = Seen(), list[str]()
    seen.watch(page)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("#energies .main-svg", state="attached")
    expect(page.locator("h1")).to_have_text(name)
    expect(page.locator("pre")).to_contain_text("composition: Na4Cl4")
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
    assert seen.complaints == []
    assert path.read_text(encoding="utf-8").count("plotly.js v") == 1


def test_figures_of_a_report_are_files(browser: Browser, served: Served, tmp_path: Path) -> None:
    paths = write_report(Views(served.store), EMPTY, tmp_path / "figures", "pdf")
    assert len(paths) > 8
    assert {path.read_bytes()[:5] for path in paths} == {b"%PDF-"}
