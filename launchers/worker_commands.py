"""``pyrite work`` and ``pyrite maintain``: for searches that no ``pyrite run`` supervises."""

from typing import Annotated

import typer
from rich.console import Console

from pyrite.launchers.endings import stoppable
from pyrite.launchers.options import HOME, Home


def maintain(
    every: Annotated[
        float | None,
        typer.Option(min=1, help="Go on for ever, and look every so many seconds."),
    ] = None,
    lost_after: Annotated[
        float, typer.Option(min=40, help="Seconds without a heartbeat that count as death.")
    ] = 300.0,
    home: Home = HOME,
) -> None:
    """Heal what killed workers, cancelled jobs and lost nodes have left in all searches."""
    from pyrite.launchers.session import attached
    from pyrite.launchers.upkeep import Upkeep

    console = Console()

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    with stoppable(console), attached(home, create=False) as session:
        upkeep = Upkeep(session, say, lost_after)
        if every is not None:
            upkeep.forever(every)
        elif not upkeep.once():
            say("nothing to heal")


def work(
    category: Annotated[
        str | None, typer.Option(help="Only tasks of this category.", show_default="all")
    ] = None,
    idle: Annotated[
        float | None,
        typer.Option(min=0, help="End after so many seconds without a task.", show_default="never"),
    ] = None,
    home: Home = HOME,
) -> None:
    """Take the tasks of all searches, one after another, beside whoever else does."""
    from pyrite.launchers.free_worker import FreeWorker, in_the_environment_of_workers
    from pyrite.launchers.session import attached

    console = Console()

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    with stoppable(console):
        in_the_environment_of_workers(home)
        with attached(home, create=False) as session:
            worker = FreeWorker(session, say, category, idle)
            try:
                worker.work()
            finally:
                worker.give_back()
