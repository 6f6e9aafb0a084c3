"""A whole search labelled by VASP under custodian, with a stand-in for its program alone."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driving import Command, call, wait
from tests.stand_in_vasp import failures, potcars, vasp_std

from pyrite.documents import LabelStatus, SearchState
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.registry import registered
from pyrite.launchers.session import attached

NAME = "copper-gold"
SEARCH = f"""
composition: Cu2Au2
name: {NAME}
seed: 2
reference: {{engine: vasp, required_success: 0.2, vasp: {{kspacing: 0.6, nelm: 20}}}}
pool: {{size: 16, symmetric_share: 0.5}}
surrogate: {{members: 2, features: 12, radial_basis: 8, cutoff: 4.5, interactions: 1}}
training: {{updates: 60, warm_updates: 60}}
relaxation: {{max_steps: 25, anchors: 2}}
selection: {{first_labels: 12, labels: 4}}
convergence: {{max_iterations: 2, min_iterations: 2}}
validation: {{top_k: 3, max_steps: 30, fmax: 0.1}}
execution: {{labels_per_task: 4, members_per_task: 2}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    call("pyrite", "store", "stop", "--home", home, cwd=tmp_path)


def environment(tmp_path: Path) -> dict[str, str]:
    potcars.write_potcars(tmp_path / "potcars", ["Cu", "Au"])
    return {
        "PYRITE_VASP_COMMAND": f"{sys.executable} {vasp_std.__file__}",
        "PMG_VASP_PSP_DIR": str(tmp_path / "potcars"),
    }


def test_a_search_goes_on_though_labels_fail(home: Path, tmp_path: Path) -> None:
    """Some crash in any case, some need a repair, some are absurd; the rest decides."""
    search_file = tmp_path / "search.yaml"
    search_file.write_text(SEARCH)
    trouble = "killed:share=0.15,scf_fast:share=0.3,absurd:share=0.1"
    said = call(
        *("pyrite", "run", search_file, "--home", home),
        cwd=tmp_path,
        **environment(tmp_path),
        **{failures.VARIABLE: trouble},
    ).stdout
    with attached(home, create=False) as session:
        labels = session.store.labels(NAME)
        iterations = session.store.iterations(NAME)
        result = session.store.result(NAME)
        assert session.store.get_search(NAME).state is SearchState.DONE
        assert {one.state for one in snapshot(session.launchpad, NAME).members} == {"COMPLETED"}
    found = {status: [one for one in labels if one.status is status] for status in LabelStatus}
    assert all(found.values()), {status.value: len(ones) for status, ones in found.items()}
    assert any(one.provenance.details["corrections"] for one in found[LabelStatus.OK])
    assert len({str(one.provenance.settings) for one in found[LabelStatus.OK]}) == 1
    for one in found[LabelStatus.FAILED]:
        assert one.reason is not None
        assert one.reason.startswith("VASP failed: ValidationError of VasprunXMLValidator")
        assert all(Path(folder).is_dir() for folder in one.provenance.details["folders"])
    assert all(one.energy is not None for one in found[LabelStatus.ABSURD]), "numbers are kept"

    bad = [*found[LabelStatus.FAILED], *found[LabelStatus.ABSURD]]
    for label in bad:
        later = [one for one in iterations if one.iteration >= label.iteration]
        chosen = {pick.candidate_id for one in later for pick in one.next_picks}
        assert label.candidate_id not in chosen
    assert result is not None
    assert result.ranking
    assert result.ledger.failed_labels == len(bad)
    status = call("pyrite", "status", NAME, "--home", home, cwd=tmp_path).stdout
    for text in (said, status):
        assert "failed: VASP failed: ValidationError" in text
        assert "failed: energy of more than 100 eV/atom" in text


def calculating(command: str) -> list[int]:
    """Processes that run the stand-in."""
    return [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if command in (one.info["cmdline"] or ())
    ]


@pytest.mark.parametrize("how", ["interrupt", "kill the worker", "kill the supervisor"])
def test_vasp_ends_with_whoever_started_it(how: str, home: Path, tmp_path: Path) -> None:
    """custodian gives VASP a session of its own, which signals to the worker's group miss."""
    search_file = tmp_path / "search.yaml"
    search_file.write_text(SEARCH)
    ours = tmp_path / "vasp_of_this_test.py"
    ours.symlink_to(vasp_std.__file__)
    told = environment(tmp_path) | {
        "PYRITE_VASP_COMMAND": f"{sys.executable} {ours}",
        failures.VARIABLE: "hang",
    }
    arguments = ("run", search_file, "--home", home, "--workers", 1)
    run = Command("pyrite", *arguments, cwd=tmp_path, **told)
    (first,) = wait(lambda: calculating(str(ours)), run)
    if how == "kill the worker":
        (worker,) = registered(home, NAME)
        os.kill(worker.pid, signal.SIGKILL)
        wait(lambda: first not in calculating(str(ours)), run)
        run.process.send_signal(signal.SIGINT)
    else:
        number = signal.SIGINT if how == "interrupt" else signal.SIGKILL
        run.process.send_signal(number)
    run.end(-signal.SIGKILL if how == "kill the supervisor" else 130)
    wait(lambda: not calculating(str(ours)))
