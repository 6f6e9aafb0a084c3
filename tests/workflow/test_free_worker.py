"""``pyrite work`` that is stopped within a task."""

import signal
from pathlib import Path

import pytest
from driving import Command, anybody_left, call, launchpad_of, under_way, wait

from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.session import attached
from pyrite.launchers.steering import is_left_alone

NAME = "stopped"
SEARCH = f"""
name: {NAME}
composition: Na2Cl2
pool: {{size: 4, symmetric_share: 0}}
surrogate: {{members: 2, features: 12, radial_basis: 8, cutoff: 4.5, interactions: 1}}
training: {{updates: 100000}}
selection: {{first_labels: 4}}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_its_task_is_given_back_and_has_not_failed(
    number: signal.Signals, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "search.yaml").write_text(SEARCH)
    call("pyrite", "add", "search.yaml", "--home", home, cwd=tmp_path)
    worker = Command("pyrite", "work", "--home", home, cwd=tmp_path)
    with launchpad_of(home, worker) as launchpad:
        (task,) = wait(lambda: under_way(snapshot(launchpad, NAME), (f"train {NAME} ",)), worker)
    worker.process.send_signal(number)
    said = worker.end(130)
    assert said.endswith("stopped; the same command resumes\n")
    assert "Traceback" not in said
    assert anybody_left(home) == []
    with attached(home, create=False) as session:
        states = {one.fw_id: one.state for one in snapshot(session.launchpad, NAME).members}
        assert states[task.fw_id] == "READY"
        assert {"FIZZLED", "RUNNING", "RESERVED"}.isdisjoint(states.values())
        search = session.store.get_search(NAME)
        assert is_left_alone(session, search)
        # Had its tasks failed, it would be as much in need of somebody.
        session.launchpad.fireworks.update_many({"state": "READY"}, {"$set": {"state": "FIZZLED"}})
        assert is_left_alone(session, search)
