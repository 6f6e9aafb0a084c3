"""A search in batch jobs that are too short: every task leaves and goes on in the next one."""

from collections import Counter
from pathlib import Path

import pytest
from driving import call
from fireworks import FWorker
from fireworks.core.rocket_launcher import launch_rocket

from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.session import attached
from pyrite.models.search import run_search
from pyrite.models.walltime import Deadline, OutOfTime
from pyrite.search_file import load_search

NAME = "hurried"
SEARCH = f"""
name: {NAME}
composition: Na2Cl2
pool: {{size: 8, symmetric_share: 0}}
surrogate: {{members: 2, features: 8, radial_basis: 6, cutoff: 4.5, interactions: 1}}
training: {{updates: 12}}
selection: {{first_labels: 6, labels: 2}}
relaxation: {{max_steps: 10, anchors: 0, batch_size: 2}}
convergence: {{max_iterations: 1, min_iterations: 1}}
validation: {{top_k: 1, max_steps: 5}}
"""


def test_a_search_in_short_jobs_is_the_same_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_file, home = tmp_path / "search.yaml", tmp_path / "home"
    search_file.write_text(SEARCH)
    alone = run_search(load_search(search_file), tmp_path / "alone")
    asked = 0

    def require(_: Deadline, seconds: float = 0.0) -> None:
        nonlocal asked
        asked += 1
        if asked % 2 == 0:
            raise OutOfTime

    monkeypatch.setattr(Deadline, "require", require)
    monkeypatch.chdir(tmp_path)
    call("pyrite", "add", search_file, "--home", home, cwd=tmp_path)
    with attached(home, create=False) as session:
        worker = FWorker()
        while session.launchpad.run_exists(worker):
            launch_rocket(session.launchpad, worker)
        result = session.store.result(NAME)
        members = snapshot(session.launchpad, NAME).members
        costs = session.store.shard_costs(NAME)
    call("pyrite", "store", "stop", "--home", home, cwd=tmp_path)
    assert {one.state for one in members} == {"COMPLETED"}
    jobs = Counter(one.name.partition(" ")[0] for one in members)
    assert jobs["label"] > 1, "six labels, and time for two or so in each job"
    assert jobs["train"] > 2
    assert jobs["relax"] > 2
    assert all(one.finished for one in costs)
    assert result is not None
    assert result.ranking == alone.ranking
    assert result.ledger.reference_calls == alone.ledger.reference_calls
