"""How long the dashboard takes to open a search, by the size of its pool.

    python -m benchmarks.dashboard --home DIR [--candidates 100000] [--rounds 5] [--json FILE]

Fills an embedded store in DIR with synthetic documents (Na4Cl4, 32 features, two iterations that
relaxed the whole pool; minutes, the first time), serves it from this process and opens every page
in Chromium: seconds until its last figure is drawn, and bytes that were sent. ``new`` is a browser
that has no scripts yet, ``known`` the same browser again; in both cases the dashboard has forgotten
all that it had read. ``server`` is what the dashboard takes to make the page. Needs Chromium.
"""

import argparse
import json
import logging
import os
import platform
import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from pyrite.config import SearchConfig
from pyrite.dashboard.app import make_server
from pyrite.dashboard.server import bind
from pyrite.dashboard.source import Source
from pyrite.documents import (
    Choice,
    Convergence,
    Crystal,
    Forecast,
    Iteration,
    Label,
    LabelStatus,
    Pick,
    Provenance,
    Search,
    SearchState,
    ShardCost,
    StopReason,
    TopCluster,
    TrainedMember,
)
from pyrite.launchers.session import attached, keep
from pyrite.store import Store

PAGES = {
    "searches": ("/", "#searches table"),
    "overview": ("", "#ledger .main-svg"),
    "crystals": ("/crystals", "#powder .main-svg"),
    "pool": ("/pool", "#map .main-svg"),
    "learning": ("/learning", "#calibration-force .main-svg"),
    "tasks": ("/tasks", "#workflow .main-svg"),
}
ITERATIONS = 2
FEATURES = 32
SHARD = 2500
LABELS = 200
BATCH = 5000
NUMBERS = [11] * 4 + [17] * 4
STOPS = ("converged", "uncertain", "stalled", "collapsed")
FLAGS = ("--no-sandbox", "--disable-background-networking", "--use-angle=swiftshader")


def fill(store: Store, name: str, candidates: int) -> None:
    """Write a search whose pool has that many members; a key that exists is an error."""
    rng = np.random.default_rng(0)
    settings = {"composition": "Na4Cl4", "name": name, "pool": {"size": candidates}}
    config = SearchConfig.model_validate(settings)
    store.create_search(Search(search_id=name, config=config, created=time.time()))
    common = {"search_id": name, "pyrite_version": "0", "role": "train"}
    # Past the store's upserts: those check every key, and would take an hour.
    for start in range(0, candidates, BATCH):
        ids = [f"c{index:05d}" for index in range(start, min(start + BATCH, candidates))]
        store.database["candidates"].insert_many(
            [
                {**common, "candidate_id": one, "origin": "p1", "crystal": crystal(rng)}
                for one in ids
            ]
        )
        for k in range(ITERATIONS):
            store.database["relaxations"].insert_many(
                [{**common, **relaxation(rng, k), "candidate_id": one} for one in ids]
            )
    for k in range(ITERATIONS):
        conclude(store, name, k, candidates)
    store.set_state(name, SearchState.RUNNING)


def crystal(rng: np.random.Generator) -> dict[str, Any]:
    """Any cell of eight atoms."""
    cell = np.diag(rng.uniform(5, 7, 3)) + rng.normal(0, 0.3, (3, 3))
    return {
        "numbers": NUMBERS,
        "positions": (rng.random((8, 3)) @ cell).tolist(),
        "cell": cell.tolist(),
    }


def relaxation(rng: np.random.Generator, k: int) -> dict[str, Any]:
    """Any relaxation, in one of fifty clusters."""
    cluster = int(rng.integers(50))
    descriptor = (np.sin(np.arange(FEATURES) * cluster) + rng.normal(0, 0.05, FEATURES)).tolist()
    return {
        "iteration": k,
        "stop": STOPS[int(rng.integers(len(STOPS)))],
        "steps": 40,
        "energy": -3.4 + 0.02 * cluster + abs(rng.normal(0, 0.02)),
        "energy_spread": 0.02,
        "fmax": 0.04,
        "uncertainty": 0.1,
        "descriptor": descriptor,
        "crystal": crystal(rng),
        "previous_energy": -3.2 if k else None,
        "previous_crystal": crystal(rng) if k else None,
        "previous_descriptor": descriptor if k else None,
    }


def conclude(store: Store, name: str, k: int, candidates: int) -> None:
    """Write what an iteration leaves beside its relaxations."""
    ids = [f"c{index * (candidates // LABELS):05d}" for index in range(LABELS)]
    found = {one.candidate_id: one for one in store.relaxations(name, k, ids[:50])}
    for start in range(50, LABELS, 50):
        found |= {
            one.candidate_id: one for one in store.relaxations(name, k, ids[start : start + 50])
        }
    picks = [Pick(candidate_id=one, choice=Choice.SCORE, crystal=found[one].crystal) for one in ids]
    cost = Provenance(engine="chgnet", engine_version="0", seconds=1.0, reference_calls=1)
    labels = [label(name, k, one, found[one.candidate_id].energy, cost) for one in picks]
    store.put_labels(labels)
    store.put_forecasts([forecast(one) for one in labels])
    for member in range(4):
        facts = TrainedMember(
            search_id=name,
            iteration=k,
            member=member,
            architecture={},
            format_version=1,
            labels=LABELS * (k + 1),
            left_out=0,
            epochs=10,
            seconds=60.0,
            energy_mae=0.02,
            force_mae=0.2,
            stress_mae=0.002,
        )
        store.put_member(facts, b"weights")
    for shard in range(-(-candidates // SHARD)):
        size = min(SHARD, candidates - shard * SHARD)
        store.put_shard_cost(
            ShardCost(
                search_id=name,
                iteration=k,
                shard=shard,
                candidates=size,
                steps=1,
                seconds=600.0,
                outcomes={StopReason(stop): size // len(STOPS) for stop in STOPS},
            )
        )
    tops = sorted(found.values(), key=lambda one: one.energy)[:5]
    store.put_iteration(
        Iteration(
            search_id=name,
            iteration=k,
            picks=tuple(picks),
            clusters=50,
            noise=0,
            eps=0.5,
            top=tuple(
                TopCluster(
                    candidate_id=one.candidate_id,
                    energy=one.energy,
                    size=candidates // 50,
                    crystal=one.crystal,
                    members=tuple(f"c{n:05d}" for n in range(place, candidates, 50)),
                )
                for place, one in enumerate(tops)
            ),
            next_picks=tuple(picks),
            convergence=Convergence(converged=False, agreeing=k, compared=3, reason="synthetic"),
        )
    )


def label(name: str, k: int, pick: Pick, energy: float, cost: Provenance) -> Label:
    """A label near the energy that was predicted of the iteration before."""
    return Label(
        search_id=name,
        iteration=k + 1,
        candidate_id=pick.candidate_id,
        choice=pick.choice,
        crystal=Crystal.model_validate(pick.crystal),
        status=LabelStatus.OK,
        energy=8 * (energy + 0.01),
        forces=((0.05, 0.0, 0.0),) * 8,
        stress=((0.0, 0.0, 0.0),) * 3,
        provenance=cost,
    )


def forecast(label: Label) -> Forecast:
    """A prediction that is a little wrong."""
    return Forecast(
        search_id=label.search_id,
        iteration=label.iteration,
        candidate_id=label.candidate_id,
        energy=(label.energy or 0.0) / 8 - 0.01,
        energy_spread=0.02,
        forces=((0.04, 0.01, 0.0),) * 8,
        force_spread=((0.01, 0.01, 0.01),) * 8,
    )


@contextmanager
def served(source: Source) -> Iterator[str]:
    """The address of a dashboard."""
    from werkzeug.serving import make_server as listen

    server = make_server(source, None)
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        running = listen("127.0.0.1", port, server, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.shutdown()
            thread.join()


def opened(context: Any, address: str, name: str, page: str) -> dict[str, float]:
    """Open one page in a browser: seconds, bytes of data and of scripts."""
    path, wanted = PAGES[page]
    tab = context.new_page()
    answers: list[Any] = []
    tab.on("requestfinished", lambda request: answers.append(request))  # noqa: PLW0108
    begin = time.perf_counter()
    tab.goto(address + (path if page == "searches" else f"/search/{name}{path}"))
    tab.wait_for_selector(wanted, state="attached", timeout=120_000)
    seconds = time.perf_counter() - begin
    tab.wait_for_timeout(300)
    sizes = {"data": 0, "scripts": 0}
    for one in answers:
        kind = (
            "scripts" if "/_dash-component-suites/" in one.url or "/plotly/" in one.url else "data"
        )
        # Less than nothing is told of what the browser had kept: its headers, taken off.
        sizes[kind] += max(one.sizes()["responseBodySize"], 0)
    tab.close()
    return {"seconds": seconds, "data_bytes": sizes["data"], "script_bytes": sizes["scripts"]}


def made(address: str, name: str, page: str) -> dict[str, float]:
    """Ask for one page's content without a browser."""
    path = PAGES[page][0]
    where = path if page == "searches" else f"/search/{name}{path}"
    question = {
        "output": "..page.children...notice.children..",
        "outputs": [
            {"id": "page", "property": "children"},
            {"id": "notice", "property": "children"},
        ],
        "inputs": [{"id": "url", "property": "pathname", "value": where}],
        "changedPropIds": ["url.pathname"],
    }
    request = Request(
        f"{address}/_dash-update-component",
        json.dumps(question).encode(),
        {"Content-Type": "application/json", "Accept-Encoding": "gzip"},
    )
    begin = time.perf_counter()
    with urlopen(request) as answer:
        size = len(answer.read())
    return {"seconds": time.perf_counter() - begin, "data_bytes": size, "script_bytes": 0}


def measure(store: Store, name: str, rounds: int) -> dict[str, Any]:
    """Open every page some times."""
    from playwright.sync_api import sync_playwright

    import pyrite.models.ranking  # noqa: F401  # as the command does in the background

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    rows: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        for page in PAGES:
            new, known, server = [], [], []
            for _ in range(rounds):
                source = Source(store)
                with served(source) as address:
                    context = browser.new_context(viewport={"width": 1280, "height": 800})
                    new.append(opened(context, address, name, page))
                    source.memory.forget()
                    known.append(opened(context, address, name, page))
                    source.memory.forget()
                    server.append(made(address, name, page))
                    context.close()
            rows[page] = {
                "new": summary(new),
                "known": summary(known),
                "server": summary(server),
            }
            print(page, json.dumps(rows[page]))
        browser.close()
    return rows


def summary(samples: Sequence[dict[str, float]]) -> dict[str, float]:
    """Median and extremes of the seconds, the largest of the bytes."""
    seconds = [one["seconds"] for one in samples]
    return {
        "median_seconds": round(statistics.median(seconds), 2),
        "least_seconds": round(min(seconds), 2),
        "most_seconds": round(max(seconds), 2),
        "data_bytes": int(max(one["data_bytes"] for one in samples)),
        "script_bytes": int(max(one["script_bytes"] for one in samples)),
    }


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "processor": platform.processor() or platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    name = f"pool-{options.candidates}"
    with attached(options.home, create=True) as session:
        keep(session.home)
        if name not in {one.search_id for one in session.store.list_searches()}:
            fill(session.store, name, options.candidates)
        before = machine()
        pages = measure(session.store, name, options.rounds)
    result = {
        "candidates": options.candidates,
        "iterations": ITERATIONS,
        "rounds": options.rounds,
        "store": "embedded",
        "before": before,
        "after": machine(),
        "pages": pages,
    }
    print(json.dumps(result, indent=2))
    if options.json is not None:
        known = json.loads(options.json.read_text()) if options.json.exists() else {}
        known[str(options.candidates)] = result
        options.json.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
