"""A real Slurm of one node, for tests and benchmarks; needs slurm-wlm and munge."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
SECONDS = 30.0


def missing() -> list[str]:
    """Programs that are not installed."""
    return [one for one in NEEDED if shutil.which(one, path=_path()) is None]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def slurm(directory: Path) -> Iterator[dict[str, str]]:
    """Run a cluster in a directory; gives the environment in which its commands work."""
    for name in ("state", "spool"):
        (directory / name).mkdir(parents=True)
    directory.chmod(0o755)  # munged wants to be sure of its surroundings
    key = directory / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    text = Template((Path(__file__).parent / "slurm.conf.in").read_text()).substitute(
        directory=directory,
        host=socket.gethostname().split(".")[0],
        controller_port=_free_port(),
        node_port=_free_port(),
        cpus=os.cpu_count(),
        user=getpass.getuser(),
    )
    conf = directory / "slurm.conf"
    conf.write_text(text)
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": _path()}
    munged = (
        *("munged", "--foreground", "--force", "--num-threads=2"),
        *(f"--socket={directory}/munge.sock", f"--key-file={key}"),
        *(f"--log-file={directory}/munged.log", f"--pid-file={directory}/munged.pid"),
        f"--seed-file={directory}/munged.seed",
    )
    with ExitStack() as stack:
        for command in (munged, ("slurmctld", "-D"), ("slurmd", "-D")):
            stack.enter_context(_daemon(command, environment, directory))
            if command is munged:
                _wait((directory / "munge.sock").exists, directory)
        _wait(lambda: "idle" in _asked(("sinfo", "-h", "-o", "%t"), environment), directory)
        try:
            yield environment
        finally:
            _asked(("scancel", "--user", getpass.getuser()), environment)
            _wait(lambda: not _asked(("squeue", "-h"), environment).strip(), directory)


@contextmanager
def _daemon(
    command: tuple[str, ...], environment: dict[str, str], directory: Path
) -> Iterator[None]:
    with (directory / f"{command[0]}.out").open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asked(command: tuple[str, ...], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def _wait(ready: Callable[[], bool], directory: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > deadline:
            logs = {one.name: one.read_text()[-800:] for one in directory.glob("*.log")}
            raise TimeoutError(f"Slurm does not come up or down: {logs}")
        time.sleep(0.1)
