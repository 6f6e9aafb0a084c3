"""``pyrite cluster init``: the files with which FireWorks runs searches on a batch system."""

import math
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from pyrite.errors import ConfigError

cluster_app = typer.Typer(help="Batch systems.", no_args_is_help=True)


class Scheduler(StrEnum):
    """Batch systems that there are templates for."""

    SLURM = "slurm"
    PBS = "pbs"


_SUBMIT = {Scheduler.SLURM: "sbatch", Scheduler.PBS: "qsub"}
_WALLTIME = re.compile(
    r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)"
)
_LONGEST_SLEEP = 10  # s, of an idle worker between two looks
_PURPOSES = {
    "cpu": "label, select and rank",
    "gpu": "train networks and relax the pool with them",
}


@dataclass(frozen=True)
class Jobs:
    """What the jobs of one category ask for.

    ``workers`` fireworks run at once in a job, with ``cpus`` cores each; ``gpus`` is for the
    whole job.
    """

    category: str
    queue: str | None
    workers: int
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Cluster:
    """A batch system, and how Pyrite uses it."""

    scheduler: Scheduler
    account: str | None
    walltime: str
    idle: int  # s
    vasp_command: str | None
    jobs: tuple[Jobs, ...]

    @property
    def seconds(self) -> int:
        """Of the walltime.

        Raises
        ------
        ConfigError
            If it does not read [days-]hours:minutes:seconds.
        """
        found = _WALLTIME.fullmatch(self.walltime)
        if found is None or (found["days"] and self.scheduler is Scheduler.PBS):
            days = "[days-]" if self.scheduler is Scheduler.SLURM else ""
            raise ConfigError(
                f"--walltime is {self.walltime}, but must read {days}hours:minutes:seconds, "
                "such as 24:00:00"
            )
        numbers = {name: int(text or 0) for name, text in found.groupdict().items()}
        return int(timedelta(**numbers).total_seconds())


def write_files(directory: Path, cluster: Cluster, uri: str, database: str, *, force: bool) -> None:
    """Write the launchpad, FireWorks' settings, and a worker and queue adapter per category.

    Raises
    ------
    ConfigError
        If there is one of them already, or the folder cannot be written.
    """
    directory = directory.absolute()
    texts = {directory / "FW_config.yaml": _template("FW_config.yaml").template}
    for jobs in cluster.jobs:
        folder = directory / jobs.category
        worker = {"name": f"{cluster.scheduler}-{jobs.category}", "category": jobs.category}
        texts[folder / "my_fworker.yaml"] = _template("my_fworker.yaml").substitute(worker)
        texts[folder / "my_qadapter.yaml"] = _adapter(directory, cluster, jobs)
        texts[folder / "my_qadapter_reserve.yaml"] = _adapter(
            directory, cluster, jobs, reserve=True
        )
    launchpad = directory / "my_launchpad.yaml"
    known = next((path for path in (launchpad, *texts) if path.exists()), None)
    if known is not None and not force:
        raise ConfigError(f"{known} exists; choose another directory, or replace it with --force")
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        secret = directory / ".my_launchpad.yaml"
        secret.touch(0o600)
        secret.chmod(0o600)
        secret.write_text(
            _template("my_launchpad.yaml").substitute(uri=_quoted(uri), database=_quoted(database))
        )
        secret.replace(launchpad)
        for jobs in cluster.jobs:
            link = directory / jobs.category / "my_launchpad.yaml"
            link.unlink(missing_ok=True)
            link.symlink_to(Path("..") / launchpad.name)
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename or directory} ({error.strerror}); "
            "choose another directory"
        ) from None


def _template(name: str) -> Template:
    return Template((files("pyrite.launchers") / "templates" / name).read_text())


def _quoted(text: str | None) -> str:
    """A value as YAML reads it back."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"


def _adapter(directory: Path, cluster: Cluster, jobs: Jobs, *, reserve: bool = False) -> str:
    gpus = f":gpus={jobs.gpus}" if jobs.gpus else ""
    ranks = cluster.vasp_command is not None and jobs.category == "cpu"  # of VASP, one a core
    return _template(f"{cluster.scheduler}.yaml").substitute(
        purpose=_PURPOSES[jobs.category],
        category=jobs.category,
        queue=_quoted(jobs.queue),
        account=_quoted(cluster.account),
        walltime=_quoted(cluster.walltime),
        tasks=jobs.workers * jobs.cpus if ranks else jobs.workers,
        cpus=1 if ranks else jobs.cpus,
        gres=_quoted(f"gpu:{jobs.gpus}" if jobs.gpus else None),
        ppnode=_quoted(f"{jobs.workers * jobs.cpus}{gpus}"),
        pre_rocket=_block(_before(directory, cluster, jobs)),
        rocket_launch=_launch(directory, cluster, jobs, reserve=reserve),
    )


def _before(directory: Path, cluster: Cluster, jobs: Jobs) -> list[str]:
    from pyrite.launchers.workers import WORKER_ENVIRONMENT

    lines = [
        f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
        f"export FW_CONFIG_FILE={shlex.quote(str(directory / 'FW_config.yaml'))}",
        f"export PYRITE_WALLTIME={cluster.seconds}",
        "# One thread per process; an allocator that keeps what it has been given.",
        *(f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()),
    ]
    if cluster.vasp_command and jobs.category == "cpu":
        lines.append(f"export PYRITE_VASP_COMMAND={shlex.quote(cluster.vasp_command)}")
    return lines


def _launch(directory: Path, cluster: Cluster, jobs: Jobs, *, reserve: bool) -> str:
    rlaunch = f"rlaunch -c {shlex.quote(str(directory / jobs.category))}"
    if reserve:
        return f"{rlaunch} singleshot"  # on one line: FireWorks appends the firework's number
    # Nothing new is begun when tasks would already leave: see pyrite.models.walltime.margin.
    until = cluster.seconds - min(300, cluster.seconds // 10)
    sleep = min(cluster.idle, _LONGEST_SLEEP)
    loops = f"--sleep {sleep} --max_loops {math.ceil(cluster.idle / sleep)}"
    mode = "rapidfire" if jobs.workers == 1 else f"multi {jobs.workers}"
    return _block(
        [
            "# rlaunch fails when the database goes away. It comes back, and so does rlaunch.",
            f"while (( SECONDS < {until} )); do",
            f"  {rlaunch} {mode} {loops} --timeout $(({until} - SECONDS)) && break",
            "  sleep 30",
            "done",
        ]
    )


def _block(lines: list[str]) -> str:
    return "\n".join(["|", *("  " + line for line in lines)])


@cluster_app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where to write the files.")] = Path(
        "pyrite-cluster"
    ),
    scheduler: Annotated[
        Scheduler | None, typer.Option(help="Batch system; default: the one that is here.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(help="Partition or queue of CPU jobs.", show_default=False)
    ] = None,
    gpu_queue: Annotated[
        str | None, typer.Option(help="The same of GPU jobs.", show_default=False)
    ] = None,
    account: Annotated[str | None, typer.Option(show_default=False)] = None,
    walltime: Annotated[str, typer.Option(help="[days-]hours:minutes:seconds of a job.")] = (
        "24:00:00"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Fireworks at once in a CPU job.")] = 1,
    cpus: Annotated[int, typer.Option(min=1, help="Cores of each, and of a GPU job.")] = 1,
    idle: Annotated[int, typer.Option(min=1, help="Seconds that a job waits for more to do.")] = 60,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of a GPU job.")] = 1,
    vasp_command: Annotated[
        str | None, typer.Option(help="Such as: srun -n 16 --exact vasp_std", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace files that are there.")] = False,
) -> None:
    """Write what rlaunch and qlaunch need: launchpad, workers and queue adapters.

    In a terminal, asks for what was not given. The database is that of PYRITE_DATABASE_URI.
    """
    asks = sys.stdin.isatty() and scheduler is None
    scheduler = scheduler or _here()
    if asks:
        scheduler = Scheduler(typer.prompt("Batch system (slurm, pbs)", default=scheduler.value))
        queue = queue or typer.prompt("Partition of CPU jobs", default="") or None
        gpu_queue = gpu_queue or typer.prompt("Partition of GPU jobs", default=queue or "") or None
        account = account or typer.prompt("Account", default="") or None
        walltime = typer.prompt("Walltime", default=walltime)
    uri, database = _database()
    prepare()
    cluster = Cluster(
        scheduler,
        account,
        walltime,
        idle,
        vasp_command,
        (
            Jobs("cpu", queue, workers, cpus, 0),
            Jobs("gpu", gpu_queue or queue, 1, cpus, gpus),
        ),
    )
    write_files(directory, cluster, uri, database, force=force)
    typer.echo(f"wrote {directory}; now:")
    typer.echo(f"  cd {directory}")
    typer.echo(
        "  lpad add ../wf.yaml    # pyrite write made it of a search with "
        "execution: {cpu_category: cpu, gpu_category: gpu}"
    )
    typer.echo("  pyrite maintain --every 60    # in a terminal of its own, as are the next two")
    for jobs, number in (("cpu", 10), ("gpu", 2)):  # qlaunch ends when the database is away
        endless = f"qlaunch -c {jobs} rapidfire -m {number} --nlaunches infinite"
        typer.echo(f"  while sleep 30; do {endless}; done")


def _here() -> Scheduler:
    found = (one for one, program in _SUBMIT.items() if shutil.which(program))
    return next(found, Scheduler.SLURM)


def prepare() -> None:
    """Reach the database, and give a new one what FireWorks needs before lpad add."""
    from pyrite.launchers.local_store import connect

    launchpad, _ = connect(Path())
    launchpad.connection.close()


def _database() -> tuple[str, str]:
    from pyrite.mongo import database_name_of
    from pyrite.settings import settings

    machine = settings()
    uri = machine.uri
    if uri is None:
        raise ConfigError(
            "PYRITE_DATABASE_URI is not set; it must name a MongoDB server that the nodes of the "
            "cluster can reach, such as mongodb://user:password@host:27017/pyrite"
        )
    return uri, machine.database_name or database_name_of(uri)
