"""Running tasks again that failed for their machine: a full disk, want of memory, a lost GPU."""

import time

from fireworks import LaunchPad

from pyrite.errors import MachineError
from pyrite.launchers.bookkeeping import Snapshot, stacktrace

MACHINE_REST = 60.0  # s, doubled each time that a task finds its machine out of order
LONGEST_REST = 3600.0  # s


class Stranded:
    """Sets back tasks that failed for want of room, memory or a GPU, at growing intervals.

    Nobody mends a machine within seconds, but the task may come to another one.
    """

    def __init__(self) -> None:
        self._tried: dict[int, tuple[int, float]] = {}

    def __call__(self, launchpad: LaunchPad, seen: Snapshot) -> list[int]:
        """Set back those whose time has come."""
        now, healed = time.monotonic(), []
        for firework in seen.in_state("FIZZLED"):
            tries, earliest = self._tried.get(firework.fw_id, (0, now))
            if now >= earliest and _blames_the_machine(stacktrace(launchpad, firework)):
                launchpad.rerun_fw(firework.fw_id)
                pause = min(LONGEST_REST, MACHINE_REST * 2.0**tries)
                self._tried[firework.fw_id] = tries + 1, now + pause
                healed.append(firework.fw_id)
        return healed


def _blames_the_machine(trace: str) -> bool:
    lines = [line for line in trace.splitlines() if line.strip()]
    return bool(lines) and f".{MachineError.__name__}: " in lines[-1]
