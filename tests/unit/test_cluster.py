"""``pyrite cluster init``: files that FireWorks and the shell understand, and hidden secrets."""

import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from fireworks import FWorker
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from typer.testing import CliRunner

from pyrite.errors import ConfigError
from pyrite.launchers import cluster
from pyrite.launchers.cli import app
from pyrite.launchers.cluster import Cluster, Scheduler
from pyrite.mongo import DURABLE

URI = "mongodb://me:it's%20secret@db.example.org:27017/crystals"


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRITE_DATABASE_URI", URI)
    monkeypatch.setattr(cluster, "prepare", lambda: None)


def init(directory: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["cluster", "init", str(directory), *options])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def script(directory: Path, category: str, name: str = "my_qadapter.yaml") -> str:
    adapter = CommonAdapter.from_file(str(directory / category / name))
    text = str(adapter.get_script_str(str(directory)))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    return text


@pytest.mark.parametrize("scheduler", list(Scheduler))
def test_fireworks_reads_what_was_written(scheduler: Scheduler, tmp_path: Path) -> None:
    folder = tmp_path / "a cluster"
    options = ("--queue", "short", "--gpu-queue", "fast", "--account", "m123", "--gpus", "2")
    init(folder, "--scheduler", scheduler, *options, "--vasp-command", "srun 'vasp' std")
    for category, queue in (("cpu", "short"), ("gpu", "fast")):
        worker = FWorker.from_file(str(folder / category / "my_fworker.yaml"))
        assert worker.category == category
        written = script(folder, category)
        assert queue in written
        assert "m123" in written
        assert "24:00:00" in written
        assert "PYRITE_WALLTIME=86400" in written
        assert "--timeout $((86100 - SECONDS))" in written
        assert ("VASP_COMMAND" in written) is (category == "cpu")
        assert ("gpu:2" in written or "gpus=2" in written) is (category == "gpu")
        reserved = script(folder, category, "my_qadapter_reserve.yaml")
        assert reserved.count("singleshot") == 1
        adapter = CommonAdapter.from_file(str(folder / category / "my_qadapter_reserve.yaml"))
        assert "\n" not in adapter["rocket_launch"], "FireWorks appends the number of the firework"
    assert yaml.safe_load((folder / "FW_config.yaml").read_text())["PING_TIME_SECS"] == 60


def test_the_password_is_in_one_file_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    output = init(tmp_path / "c")
    holding = [
        path
        for path in (tmp_path / "c").rglob("*")
        if path.is_file() and not path.is_symlink() and "secret" in path.read_text()
    ]
    assert [path.name for path in holding] == ["my_launchpad.yaml"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    assert "secret" not in output
    read = yaml.safe_load((tmp_path / "c" / "gpu" / "my_launchpad.yaml").read_text())
    assert (read["host"], read["name"], read["uri_mode"]) == (URI, "crystals", True)
    assert read["mongoclient_kwargs"] == DURABLE


def test_several_workers_share_a_job(tmp_path: Path) -> None:
    init(tmp_path / "c", "--scheduler", "slurm", "--workers", "4", "--cpus", "8")
    written = script(tmp_path / "c", "cpu")
    assert "--ntasks=4" in written
    assert "--cpus-per-task=8" in written
    assert "multi 4 --sleep 10 --max_loops 6 --timeout" in written


def test_vasp_finds_a_task_for_each_of_its_ranks(tmp_path: Path) -> None:
    init(tmp_path / "c", "--scheduler", "slurm", "--cpus", "8", "--vasp-command", "srun vasp_std")
    assert "--ntasks=8" in script(tmp_path / "c", "cpu")
    assert "--cpus-per-task=1" in script(tmp_path / "c", "cpu")
    assert "--ntasks=1" in script(tmp_path / "c", "gpu")
    assert "--cpus-per-task=8" in script(tmp_path / "c", "gpu")


def test_files_are_replaced_only_by_force(tmp_path: Path) -> None:
    init(tmp_path / "c")
    with pytest.raises(ConfigError, match=r"exists; .* --force"):
        init(tmp_path / "c")
    init(tmp_path / "c", "--force", "--walltime", "01:00:00")
    assert "PYRITE_WALLTIME=3600" in script(tmp_path / "c", "cpu")


def test_the_database_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYRITE_DATABASE_URI")
    with pytest.raises(ConfigError, match=r"PYRITE_DATABASE_URI is not set"):
        init(tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("scheduler", "walltime", "seconds"),
    [
        (Scheduler.SLURM, "2-12:30:05", 217805),
        (Scheduler.SLURM, "00:02:00", 120),
        (Scheduler.PBS, "100:00:00", 360000),
        (Scheduler.PBS, "1-00:00:00", None),
        (Scheduler.SLURM, "a day", None),
        (Scheduler.SLURM, "24:99:00", None),
    ],
)
def test_walltimes(scheduler: Scheduler, walltime: str, seconds: int | None) -> None:
    here = Cluster(scheduler, None, walltime, 60, None, ())
    if seconds is None:
        with pytest.raises(ConfigError, match=r"--walltime is .* must read"):
            _ = here.seconds
    else:
        assert here.seconds == seconds
