"""Machines that fail under a search: a clear state, from which ``pyrite maintain`` goes on."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from tests.unit.stand_in import Engine, settings

from pyrite.documents import Crystal, LabelStatus, SearchState
from pyrite.errors import MachineError
from pyrite.launchers import stranded
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.upkeep import Upkeep
from pyrite.launchers.workers import run_one
from pyrite.models import engines, machine_trouble, steps
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.models.reference import StaticResult
from pyrite.store import Store
from pyrite.workflows.search import search_workflow

NAME = "stranded"
CONFIG = settings(
    name=NAME,
    pool={"size": 4, "symmetric_share": 0},
    selection={"first_labels": 2},
    execution={"labels_per_task": 1},
)


class Sound(Engine):
    """A reference that answers."""

    def static(self, crystal: Crystal) -> StaticResult:
        self.good = (crystal,)
        return super().static(crystal)


def failing(directory: Path, error: Exception) -> MakerEngine:
    def run(*_: object) -> None:
        raise error

    makers = Makers("stand-in", "1", {}, static=None, relax=lambda *_: None, run=run)
    return MakerEngine(makers, directory)


@pytest.fixture
def store(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine_trouble, "_lost_gpu", False)
    store = Store.from_launchpad(launchpad)
    launchpad.add_wf(search_workflow(CONFIG))
    launch_rocket(launchpad, FWorker(), strm_lvl="ERROR")
    yield store
    store.remove_search(NAME)


@pytest.fixture
def keeper(launchpad: LaunchPad, store: Store, tmp_path: Path) -> Upkeep:
    session = SimpleNamespace(launchpad=launchpad, home=tmp_path, store=store, revive=lambda: None)
    return Upkeep(session, lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "is full"), (errno.EROFS, "cannot be used")]
)
def test_a_disk_that_fails_strands_a_task_and_costs_no_label(
    launchpad: LaunchPad,
    store: Store,
    keeper: Upkeep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    words: str,
) -> None:
    now = [0.0]
    monkeypatch.setattr(stranded.time, "monotonic", lambda: now[0])
    broken = failing(tmp_path, OSError(number, "it says", "/scratch/x"))
    monkeypatch.setattr(engines, "make_engine", lambda *_: broken)

    def fail_both() -> None:
        for _ in range(2):
            launch_rocket(launchpad, FWorker(), strm_lvl="CRITICAL")
        assert len(snapshot(launchpad, NAME).in_state("FIZZLED")) == 2

    fail_both()
    search = store.get_search(NAME)
    assert search.state is SearchState.FAILED
    assert words in str(search.error)
    assert store.labels(NAME) == []

    assert keeper.once() == 2
    assert store.get_search(NAME).state is SearchState.RUNNING
    fail_both()
    now[0] = stranded.MACHINE_REST - 1
    assert keeper.once() == 0, "it was tried a moment ago"
    now[0] = stranded.MACHINE_REST
    assert keeper.once() == 2

    monkeypatch.setattr(engines, "make_engine", lambda *_: Sound())
    for _ in range(2):
        launch_rocket(launchpad, FWorker(), strm_lvl="ERROR")
    assert [one.status for one in store.labels(NAME)] == [LabelStatus.OK] * 2
    assert len(snapshot(launchpad, NAME).in_state("COMPLETED")) == 3


def test_other_failures_wait_for_their_users(
    launchpad: LaunchPad, keeper: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "make_engine", lambda *_: 1 / 0)
    launch_rocket(launchpad, FWorker(), strm_lvl="CRITICAL")
    assert keeper.once() == 0
    assert len(snapshot(launchpad, NAME).in_state("FIZZLED")) == 1


def test_a_worker_ends_with_its_gpu_and_the_next_one_goes_on(
    launchpad: LaunchPad,
    store: Store,
    keeper: Upkeep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "make_engine", lambda *_: Sound())
    worker = FWorker(name="one")
    for _ in range(2):
        assert run_one(launchpad, worker, tmp_path)

    def lost(*_: object) -> Callable[..., None]:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(steps, "train", lost)
    with pytest.raises(MachineError, match="worker one ends, since its GPU is out of order"):
        run_one(launchpad, worker, tmp_path)
    assert "the GPU is gone or out of order" in str(store.get_search(NAME).error)
    (training,) = snapshot(launchpad, NAME).in_state("FIZZLED")
    assert training.name.startswith("train")
    assert keeper.once() == 1
    assert training.fw_id in {one.fw_id for one in snapshot(launchpad, NAME).in_state("READY")}
