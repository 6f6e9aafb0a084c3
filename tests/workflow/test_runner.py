"""Adding and running searches against the embedded store, with dummy tasks."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from dummy_tasks import SEARCH, Fail, FailOnPurpose, Note, firework
from fireworks import FiretaskBase, LaunchPad, Workflow
from pymongo.errors import OperationFailure
from rich.console import Console

from pyrite.config import SearchConfig
from pyrite.documents import EndedBy, Search, SearchState
from pyrite.errors import EngineError, NameTakenError, SearchFailed, StoreError
from pyrite.launchers import local_store, runner, workers
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.live_view import Lines
from pyrite.launchers.local_store import LocalStore
from pyrite.launchers.runner import Runner, add_search
from pyrite.launchers.session import Session, attached, keep, sole_runner
from pyrite.results import Ledger, Result
from pyrite.store import Store

CONFIG = SearchConfig(composition="NaCl", name=SEARCH)


@pytest.fixture
def session(
    launchpad: LaunchPad, embedded_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(runner, "WorkerPool", partial(workers.WorkerPool, tasks=("dummy_tasks",)))
    search_path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", search_path)  # of the workers
    store = Store.from_launchpad(launchpad)
    yield Session(embedded_home, launchpad, store, embedded=True)
    for search in store.list_searches():
        store.remove_search(search.search_id)


def add_dummy(session: Session, task: type[FiretaskBase], directory: Path) -> None:
    session.store.create_search(Search(search_id=SEARCH, config=CONFIG, created=0.0))
    first = firework(task, "first", directory)
    session.launchpad.add_wf(Workflow([first], metadata={"search_id": SEARCH}))


def make_runner(session: Session) -> Runner:
    with Path(os.devnull).open("w") as nowhere:
        return Runner(session, CONFIG, 1, Lines(Console(file=nowhere, quiet=True)))


def result() -> Result:
    return Result(
        search_id=SEARCH, iterations=1, ended_by=EndedBy.CONVERGENCE, ranking=(), ledger=Ledger()
    )


def test_a_search_is_added_once(session: Session) -> None:
    assert add_search(session, CONFIG, ())
    before = snapshot(session.launchpad, SEARCH)
    assert not add_search(session, CONFIG, ())
    after = snapshot(session.launchpad, SEARCH)
    assert set(before.fireworks) == set(after.fireworks)
    assert session.launchpad.workflows.count_documents({"metadata.search_id": SEARCH}) == 1


def test_what_a_killed_addition_left_is_replaced(session: Session) -> None:
    add_search(session, CONFIG, ())
    fireworks = set(snapshot(session.launchpad, SEARCH).fireworks)
    session.launchpad.workflows.delete_many({"metadata.search_id": SEARCH})
    assert add_search(session, CONFIG, ())
    seen = snapshot(session.launchpad, SEARCH)
    assert len(seen.members) == len(seen.fireworks) == len(fireworks)
    assert not fireworks & set(seen.fireworks)


def test_a_name_belongs_to_one_search(session: Session) -> None:
    add_search(session, CONFIG, ())
    with pytest.raises(NameTakenError, match="seed"):
        add_search(session, CONFIG.model_copy(update={"seed": 2}), ())


def test_a_finished_workflow_gives_its_result(session: Session, tmp_path: Path) -> None:
    add_dummy(session, Note, tmp_path)
    session.store.put_result(result())
    assert make_runner(session).run() == result()


def test_a_workflow_that_ends_without_result_is_an_error(session: Session, tmp_path: Path) -> None:
    add_dummy(session, Note, tmp_path)
    with pytest.raises(SearchFailed, match="without a ranking"):
        make_runner(session).run()


def test_a_recorded_error_is_raised_and_the_same_command_resumes(
    session: Session, tmp_path: Path
) -> None:
    add_dummy(session, FailOnPurpose, tmp_path)
    session.store.set_state(SEARCH, SearchState.FAILED, error="the engine is missing: install it")
    with pytest.raises(EngineError, match=r"the engine is missing: install it; when .* resumes"):
        make_runner(session).run()
    (tmp_path / "gate").touch()
    session.store.put_result(result())
    session.store.set_state(SEARCH, SearchState.FAILED, error="the engine is missing")
    assert make_runner(session).run() == result()
    assert session.store.get_search(SEARCH).error is None


@pytest.mark.parametrize("answers", [True, False], ids=["in time", "too late"])
def test_a_disk_that_fills_up_ends_the_run_with_its_remedy(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """Whether or not the database still answers then; the same command resumes."""
    add_dummy(session, Note, tmp_path)
    session.store.put_result(result())

    stop = workers.WorkerPool.stop

    def stop_without_database(pool: workers.WorkerPool) -> None:
        stop(pool)
        raise OperationFailure("internal server error", 1)

    with monkeypatch.context() as full:
        full.setattr(local_store.LocalStore.require_space, "__defaults__", (10**18,))
        if not answers:
            full.setattr(workers.WorkerPool, "stop", stop_without_database)
        with pytest.raises(
            StoreError, match=r"disk .* is full .*free some space and give the same"
        ):
            make_runner(session).run()
    assert make_runner(session).run() == result()


def test_an_unforeseen_failure_is_named_and_recorded(session: Session, tmp_path: Path) -> None:
    add_dummy(session, Fail, tmp_path)
    with pytest.raises(SearchFailed, match=r"task 'first' .* RuntimeError: the gate is shut"):
        make_runner(session).run()
    search = session.store.get_search(SEARCH)
    assert search.state is SearchState.FAILED
    assert "the gate is shut" in str(search.error)


def test_paused_fireworks_do_not_keep_everybody_waiting(session: Session, tmp_path: Path) -> None:
    add_dummy(session, Note, tmp_path)
    (first,) = snapshot(session.launchpad, SEARCH).members
    session.launchpad.pause_fw(first.fw_id)
    with pytest.raises(SearchFailed, match="paused"):
        make_runner(session).run()


def test_one_runner_per_search(tmp_path: Path) -> None:
    with (
        sole_runner(tmp_path, "one"),
        sole_runner(tmp_path, "two"),
        pytest.raises(StoreError, match="being run by another"),
        sole_runner(tmp_path, "one"),
    ):
        pass
    with sole_runner(tmp_path, "one"):
        pass


def test_the_last_to_leave_stops_the_store(tmp_path: Path) -> None:
    home = tmp_path / "home"
    store = LocalStore(home)
    with attached(home, create=True) as first:
        keep(home)
        assert first.store.list_searches() == []
        with attached(home, create=False):
            assert store.status().running
        assert store.status().answering, "somebody else still uses it"
    assert not store.status().running
    assert home.is_dir()


def test_a_store_that_a_user_started_keeps_running(embedded_home: Path) -> None:
    with attached(embedded_home, create=False):
        pass
    assert LocalStore(embedded_home).status().answering


def test_an_unused_home_is_removed(tmp_path: Path) -> None:
    home = tmp_path / "home"

    class Refused(Exception):
        pass

    with pytest.raises(Refused), attached(home, create=True):
        raise Refused
    assert not home.exists()
    assert not LocalStore(home).status().running


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with (
        pytest.raises(StoreError, match="is a file"),
        attached(tmp_path / "home", create=True),
    ):
        pass


def test_reading_makes_no_home(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="there are no searches"),
        attached(tmp_path / "home", create=False),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
