"""The command line: what it refuses, what it writes, and how it ends."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pyrite import errors
from pyrite.config import SearchConfig
from pyrite.documents import SearchState
from pyrite.launchers import cli, endings, runner
from pyrite.launchers.bookkeeping import FireworkView, LaunchView, Snapshot
from pyrite.launchers.live_view import Lines, Moment, clock, panel, stage
from pyrite.progress import Progress

HEAVY = ("ase", "fireworks", "matplotlib", "pymatgen", "pymongo", "scipy", "torch")


class Ended:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def pyrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYRITE_DATABASE_URI", raising=False)

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["pyrite", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capsys.readouterr())

    return call


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    program = (
        "import sys, time; begin = time.monotonic()\n"
        "from pyrite.launchers import cli\n"
        "sys.argv = ['pyrite', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('heavy:', heavy, file=sys.stderr)\n"
    )
    times = []
    for _ in range(3):
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        times.append(time.monotonic() - begin)
        assert "heavy: []" in done.stderr
    for command in ("run", "write", "add", "status", "results", "export", "store"):
        assert command in done.stdout
    assert min(times) < 1.0


def test_version(pyrite) -> None:
    assert pyrite("--version").out.startswith("pyrite ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--composition", "Xx"], ["Xx"]),
        (["--composition", "Na-1"], ["Na-1"]),
        ([], ["--composition"]),
        (["missing.yaml"], ["missing.yaml"]),
        (["bad.yaml"], ["bad.yaml", "pool.sise", "pool.size"]),
        (["bad.yaml", "--preset", "x"], ["not both"]),
        (["--preset", "nosuch"], ["nosuch"]),
        (["foreign.yaml"], ["Si46", "Na4Cl4"]),
        (["--composition", "NaCl", "--name", "a b"], ["name", "a b"]),
        (["--composition", "NaCl", "--seed", "-1"], ["seed", "-1"]),
        (["engine.yaml"], ["chgnett"]),
        (["start.yaml"], ["nosuch.cif"]),
        (["dense.yaml"], ["minimum_distances"]),
    ],
)
@pytest.mark.parametrize("command", ["run", "write", "add"])
def test_bad_input_is_one_sentence_and_leaves_nothing(
    pyrite, tmp_path, command: str, arguments: list[str], words: list[str]
) -> None:
    files = {
        "bad.yaml": "composition: NaCl\npool: {sise: 3}\n",
        "engine.yaml": "composition: NaCl\nreference: {engine: chgnett}\n",
        "start.yaml": "composition: NaCl\npool: {files: [nosuch.cif]}\n",
        "foreign.yaml": "composition: Na4Cl4\ntarget: {composition: Si46}\n",
        "dense.yaml": "composition: NaCl\npool: {minimum_distances: {Na-Na: 50, Na-Cl: 50}}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = pyrite(command, *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    for word in words:
        assert word in ended.err
    assert {path.name for path in tmp_path.iterdir()} == set(files)


@pytest.mark.parametrize(
    "arguments",
    [["run", "--bogus"], ["run", "--workers", "0"], ["export", "x", "--format", "pdf"], ["fly"]],
)
def test_usage_errors(pyrite, tmp_path, arguments: list[str]) -> None:
    assert pyrite(*arguments).code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["status"], ["results", "x"], ["export", "x"]])
def test_reading_where_there_is_nothing(pyrite, tmp_path, arguments: list[str]) -> None:
    ended = pyrite(*arguments, "--home", ".")
    assert ended.code == 2
    assert "there are no searches" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--composition", "NaCl"],
        ["add", "--composition", "NaCl"],
        ["status"],
        ["results", "x"],
    ],
)
def test_an_unreachable_database(pyrite, tmp_path, monkeypatch, arguments: list[str]) -> None:
    monkeypatch.setenv("PYRITE_DATABASE_URI", "mongodb://user:secret@127.0.0.1:9/fw")
    ended = pyrite(*arguments)
    assert ended.code == 2
    assert "127.0.0.1:9" in ended.err
    assert "secret" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_write_needs_no_database(pyrite, tmp_path) -> None:
    from fireworks import Workflow

    ended = pyrite("write", "--composition", "NaCl", "--seed", "7", "-o", "wf.yaml")
    assert (ended.code, ended.err) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"wf.yaml"}
    workflow = Workflow.from_file("wf.yaml")
    assert workflow.metadata == {"search_id": "NaCl-seed7", "iteration": 0}
    assert {firework.spec["search_id"] for firework in workflow.fws} == {"NaCl-seed7"}


@pytest.mark.parametrize("output", ["wf.txt", "missing/wf.yaml"])
def test_write_to_a_bad_place(pyrite, tmp_path, output: str) -> None:
    ended = pyrite("write", "--composition", "NaCl", "-o", output)
    assert ended.code == 2
    assert output in ended.err
    assert list(tmp_path.iterdir()) == []


def test_unexpected_errors_leave_a_log(pyrite, monkeypatch, tmp_path) -> None:
    def surprise(*_: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(runner, "preflight", surprise)
    monkeypatch.setattr(endings.tempfile, "tempdir", str(tmp_path))
    ended = pyrite("write", "--composition", "NaCl")
    assert ended.code == 1
    assert "ZeroDivisionError: surprise" in ended.err
    (log,) = tmp_path.glob("pyrite-error-*.log")
    assert str(log) in ended.err
    assert "Traceback" in log.read_text()


def test_a_failed_search_is_exit_code_1(pyrite, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise errors.SearchFailed("it failed; mend it")

    monkeypatch.setattr(runner, "preflight", fail)
    ended = pyrite("write", "--composition", "NaCl")
    assert (ended.code, ended.err) == (1, "Error: it failed; mend it\n")


def test_interruption_is_130_and_says_how_to_resume(pyrite, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), 15)
        time.sleep(10)

    kept = {number: signal.getsignal(number) for number in (1, 2, 15)}
    monkeypatch.setattr(runner, "preflight", interrupt)
    try:
        ended = pyrite("run", "--composition", "NaCl")
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert ended.code == 130
    assert ended.out == "stopped; the same command resumes\n"


# ------------------------------------------------------------------ the view


def moment(*states: tuple[int, str, str], agreement: tuple[tuple[int, int], ...] = ()) -> Moment:
    fireworks = {
        fw_id: FireworkView(fw_id, name, state, "", LaunchView(fw_id, state, "w", None))
        for fw_id, name, state in states
    }
    progress = Progress(
        state=SearchState.RUNNING,
        candidates=160,
        to_relax=160,
        iteration=len(agreement),
        labels_wanted=60,
        labels_done=30,
        labels_ok=90,
        label_problems=(("no SCF", 2),),
        reference_calls=92,
        trained=1,
        relaxed=0,
        validated=0,
        lowest_energy=-3.25 if agreement else None,
        agreement=agreement,
        verdict="3 of 5 top clusters unchanged (structure)" if agreement else None,
    )
    config = SearchConfig(composition="NaCl", name="mine", surrogate={"members": 3})
    seen = Snapshot(fireworks, [{"nodes": list(fireworks)}])
    return Moment(config, seen, progress, workers=2, deaths=0, elapsed=65)


def test_panel_shows_the_search() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(panel(moment((1, "train mine 1/0", "RUNNING"), agreement=((3, 5),))))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("mine (NaCl)", "training", "30 of 60", "2 failed", "1 of 3", "0 of 160"):
        assert words in text
    for words in ("-3.2500 eV/atom", "3 of 5 top clusters unchanged", "2 alive", "1:05"):
        assert words in text


def test_lines_tell_each_event_once() -> None:
    console = Console(file=io.StringIO(), width=200)
    lines = Lines(console)
    lines.show(moment((1, "label mine 0/0", "RUNNING")))
    lines.show(moment((1, "label mine 0/0", "COMPLETED"), (2, "train mine 0/0", "RUNNING")))
    after = ((1, "label mine 0/0", "COMPLETED"), (2, "train mine 0/0", "FIZZLED"))
    lines.show(moment(*after, agreement=((3, 5),)))
    lines.show(moment(*after, agreement=((3, 5),)))
    told = [line[9:] for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert told == [
        "label mine 0/0: done",
        "train mine 0/0: failed",
        (
            "iteration 0 ended: 90 labels, lowest -3.2500 eV/atom; "
            "3 of 5 top clusters unchanged (structure)"
        ),
    ]


def test_stage_and_clock() -> None:
    assert stage(moment((1, "relax mine 0/0", "RUNNING")).fireworks) == "relaxing the pool"
    assert stage(moment((1, "relax mine 0/0", "READY")).fireworks).startswith("about to start")
    assert stage(moment((1, "relax mine 0/0", "WAITING")).fireworks) == "waiting"
    assert (clock(59.9), clock(61), clock(3661)) == ("0:59", "1:01", "1:01:01")


# -- the dashboard ---------------------------------------------------------------------


def test_the_dashboard_refuses_to_show_a_store_to_a_network_without_a_password(pyrite) -> None:
    ended = pyrite("dashboard", "--host", "0.0.0.0")
    assert ended.code == 2
    assert "--host is 0.0.0.0" in ended.err
    assert "PYRITE_DASHBOARD_PASSWORD" in ended.err


@pytest.mark.parametrize("command", [["dashboard", "--port", "0"], ["report", "NaCl"]])
def test_what_is_looked_at_must_be_there(pyrite, tmp_path, command: list[str]) -> None:
    ended = pyrite(*command)
    assert ended.code == 2
    assert "there are no searches in" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["dashboard"], ["report", "NaCl"]])
def test_a_missing_extra_is_told(pyrite, monkeypatch, command: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "dash", None)
    ended = pyrite(*command)
    assert ended.code == 2
    assert 'pip install "pyrite-csp[dashboard]"' in ended.err


def test_the_dashboards_password_is_never_told(pyrite, monkeypatch, tmp_path) -> None:
    path = tmp_path / "password"
    path.write_text("open sesame")
    path.chmod(0o644)
    monkeypatch.setenv("PYRITE_DASHBOARD_PASSWORD_FILE", str(path))
    ended = pyrite("dashboard")
    assert ended.code == 2
    assert "chmod 600" in ended.err
    assert "sesame" not in ended.out + ended.err
