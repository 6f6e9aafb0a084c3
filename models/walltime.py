"""How long the batch job goes on."""

import os
import time
from dataclasses import dataclass

import psutil

from pyrite.machine import Machine

# custodian's variable and format, so that its handlers see the same beginning.
_START, _FORMAT = "CUSTODIAN_WALLTIME_START", "%a %b %d %H:%M:%S UTC %Y"  # local time


def seconds_left(machine: Machine) -> float | None:
    """Seconds until the batch system ends the job; None without a limit.

    The job began with custodian's variable or, without it, with this process; custodian takes
    the first relaxation of a process for the beginning otherwise. A limit that has passed
    already is none, or every relaxation after it would stop at its first step.
    """
    if machine.walltime is None:
        return None
    if _START not in os.environ:
        began = time.localtime(psutil.Process().create_time())
        os.environ[_START] = time.strftime(_FORMAT, began)
    began_at = time.mktime(time.strptime(os.environ[_START], _FORMAT))
    left = machine.walltime - (time.time() - began_at)
    return left if left > 0 else None


def margin(machine: Machine) -> int:
    """Seconds before the end at which work stops itself."""
    return min(300, (machine.walltime or 0) // 10)


class OutOfTime(Exception):
    """The batch job is about to end: what was done is kept, and the rest is for the next job."""


@dataclass(frozen=True)
class Deadline:
    """The end of the batch job, for work that can be left and taken up again.

    Whoever asks has done a piece of work before, however short the time, so that jobs which
    are too short still get on.
    """

    machine: Machine | None

    def require(self, seconds: float = 0.0) -> None:
        """Make sure that there is time for more.

        Parameters
        ----------
        seconds : what the next piece of work takes

        Raises
        ------
        OutOfTime
            If it would end within `margin` of the end of the job.
        """
        left = None if self.machine is None else seconds_left(self.machine)
        if self.machine is not None and left is not None and left < seconds + margin(self.machine):
            raise OutOfTime


NO_DEADLINE = Deadline(None)
