"""A sign of life from every task, whatever the settings of the worker that runs it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from fireworks import LaunchPad

log = logging.getLogger(__name__)

# FireWorks' own default is an hour: a task that died would be missed hours later.
HEARTBEAT_SECONDS = 30.0


@contextmanager
def heartbeat(
    launchpad: LaunchPad, fw_id: int, seconds: float = HEARTBEAT_SECONDS
) -> Iterator[None]:
    """Ping the present launch of a firework for as long as the block lasts."""
    firework = launchpad.fireworks.find_one({"fw_id": fw_id}, {"launches": 1})
    launches = firework["launches"] if firework else []
    ended = Event()

    def beat() -> None:
        while not ended.wait(seconds):
            try:
                launchpad.ping_launch(launches[-1])
            except Exception as error:  # the database restarts: the next beat may find it
                log.warning("the database missed a heartbeat (%s)", type(error).__name__)

    thread = Thread(target=beat, daemon=True, name="heartbeat")
    if launches:
        thread.start()
    try:
        yield
    finally:
        ended.set()
