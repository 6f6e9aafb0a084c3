"""CrySPY 1.5.0 in this process: its input, its steps, its directory.

CrySPY's settings are its defaults, and its authors' examples where it has none (see `EA`).
Backups and plots are off: they only take time. LAQA is missing: CrySPY does not offer it
through ASE.
"""

import contextlib
import logging
import shutil
import warnings
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from pyrite.models.composition import cell_content

VERSION = "1.5.0"
JOB = "job_cryspy"
SCRIPT = "ase_in.py"
# The example soiap_Si4O8_EA of github.com/Tomoki-YAMASHITA/CrySPY_utility. Its ase_Cu8Au8_EA has
# half of it; n_fittest is half of n_pop in all of them.
EA = {
    "n_pop": 20,
    "n_crsov": 10,
    "n_perm": 3,
    "n_strain": 4,
    "n_rand": 3,
    "n_elite": 2,
    "n_fittest": 10,
    "slct_func": "TNM",
    "t_size": 2,
}
# One element has nothing to permute: the shares of the example ase_Cu8_RS_append_ea.
EA_OF_AN_ELEMENT = EA | {"n_perm": 0, "n_strain": 6, "n_rand": 4}


def sections(system: str, algorithm: str, seed: int, budget: int) -> dict[str, dict[str, Any]]:
    """What stands in cryspy.in.

    Parameters
    ----------
    system : str
        Content of the cell.
    algorithm : "RS" or "EA"
    budget : int
        Crystals that the random search may draw; the evolutionary one has no end of its own.
    """
    content = cell_content(system)
    made: dict[str, dict[str, Any]] = {
        "basic": {
            "algo": algorithm,
            "calc_code": "ASE",
            "nstage": 1,
            "njob": 1,  # one after another, to stop at the first success
            "jobcmd": "sh",
            "jobfile": JOB,
        },
        "structure": {"atype": " ".join(content), "nat": " ".join(map(str, content.values()))},
        "ASE": {"ase_python": SCRIPT},
        "option": {"seed": seed, "backup_interval": 0, "energy_output_interval": 0},
    }
    if algorithm == "RS":
        made["basic"]["tot_struc"] = budget
    else:
        made["EA"] = EA if len(content) > 1 else EA_OF_AN_ELEMENT
    return made


def step() -> bool:
    """One run of the command ``cryspy`` here; whether another one would do anything.

    What ``cryspy.scripts.cryspy.main`` does, without its arguments, its lock, and its hook that
    hides the errors of everyone.

    Raises
    ------
    RuntimeError
        If CrySPY refuses its input or its state. A population that cannot breed any more is no
        error: there the search ends.
    """
    from cryspy.interface import select_code
    from cryspy.job.ctrl_job import Ctrl_job
    from cryspy.start import cryspy_init, cryspy_restart

    try:
        if not Path("cryspy.stat").is_file():
            cryspy_init.initialize()
            return True
        rin, structures, rng = cryspy_restart.restart()
        select_code.check_calc_files(rin)
        Path("work/fin").mkdir(parents=True, exist_ok=True)
        jobs = Ctrl_job(rin, structures, rng)
        jobs.check_job()
        jobs.handle_job()
        while jobs.id_queueing and jobs.recheck:
            jobs.recheck = False
            jobs.check_job()
            jobs.handle_job()
    except SystemExit as end:
        if end.code:
            raise RuntimeError("CrySPY stopped with an error; its log says which") from end
        return True  # it leaves this way when all is well, too
    if jobs.id_queueing or jobs.id_running:
        return True
    if rin.algo == "RS":
        return False
    try:
        jobs.next_sg(noprint=True)
    except SystemExit as end:
        return not end.code
    return True


@contextlib.contextmanager
def cryspy_in(folder: Path, lock: Path, given: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Work in CrySPY's directory: its input there, its log beside it, its state whole.

    Parameters
    ----------
    folder : Path
        CrySPY's; deleted if its state cannot be used any more.
    lock : Path
        There if the last step did not end.
    given : dict
        What :func:`sections` gives.
    """
    text = ConfigParser()
    text.read(folder / "cryspy.in")
    budget = int(given["basic"].get("tot_struc", 0))
    # Half written, or with more crystals than CrySPY would now take.
    if lock.exists() or text.getint("basic", "tot_struc", fallback=0) > budget:
        shutil.rmtree(folder)
    (folder / "calc_in").mkdir(parents=True, exist_ok=True)
    text = ConfigParser()
    text.read_dict(given)
    with (folder / "cryspy.in").open("w") as file:
        text.write(file)
    for name in (JOB, SCRIPT):  # CrySPY looks for them
        (folder / "calc_in" / name).write_text("# benchmarks.cryspy_search does it.\n")
    log = logging.getLogger("cryspy")
    before = log.level, log.propagate
    handler = logging.FileHandler(folder.with_suffix(".log"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        with contextlib.chdir(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(handler)
        handler.close()
        log.level, log.propagate = before
