"""What all tasks of a search share."""

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from fireworks import FiretaskBase, Firework, FWAction, LaunchPad

from pyrite.config import SearchConfig
from pyrite.counters import use_safe_counters
from pyrite.documents import Label, Search, SearchState
from pyrite.errors import NameTakenError, PyriteError, StoreAway
from pyrite.firetasks.heartbeat import heartbeat
from pyrite.firetasks.past_labels import PAST_LABELS
from pyrite.models.machine_trouble import trouble
from pyrite.models.walltime import Deadline, OutOfTime
from pyrite.settings import settings
from pyrite.store import Store

# Stock rlaunch imports tasks before it takes an id from the database.
use_safe_counters()


class SearchTask(FiretaskBase):  # type: ignore[misc]
    """A task of one search: load, one call into `pyrite.models`, save.

    The records lie in the database of the launchpad that the task was checked
    out from, which FireWorks hands over (`_add_launchpad_and_fw_id`), so specs
    carry ids only. Whatever a task writes is an upsert: run twice, killed half
    way or run beside its own ghost, it leaves the documents of one clean run.
    """

    _fw_name: ClassVar[str] = "{{pyrite.firetasks.base.SearchTask}}"
    required_params: ClassVar[list[str]] = ["search_id"]
    optional_params: ClassVar[list[str]] = []
    launchpad: LaunchPad
    fw_id: int

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Do the work; what goes wrong on purpose is told to the search's users."""
        try:
            with heartbeat(self.launchpad, self.fw_id):
                return self.work() or FWAction()
        except OutOfTime:
            return self.rest()
        except NameTakenError:
            raise  # the search of that name belongs to somebody else
        except StoreAway:
            raise  # no failure of the search: whoever keeps it up sets the task back
        except PyriteError as error:
            self._tell(error)
            raise
        except Exception as error:
            found = trouble(error)
            if found is None:
                raise
            self._tell(found)
            raise found from error

    def _tell(self, error: PyriteError) -> None:
        self.store.set_state(self["search_id"], SearchState.FAILED, error=str(error))

    @abstractmethod
    def work(self) -> FWAction | None:
        """The task itself."""

    @cached_property
    def store(self) -> Store:
        """The records of all searches on this launchpad."""
        return Store.from_launchpad(self.launchpad)

    @cached_property
    def search(self) -> Search:
        """The search, as it was when the task first asked."""
        return self.store.get_search(self["search_id"])

    @property
    def config(self) -> SearchConfig:
        """The settings of this search."""
        return self.search.config

    def labels(self, iteration: int) -> list[Label]:
        """All labels up to an iteration and with it, once those have been made."""
        return PAST_LABELS.and_of(self.store, self.search, iteration)

    @property
    def directory(self) -> Path:
        """The firework's launch directory, where FireWorks starts every task."""
        return Path.cwd()

    @property
    def deadline(self) -> Deadline:
        """When the batch job ends."""
        return Deadline(settings().machine())

    def rest(self) -> FWAction:
        """The same task again, in the next job and before whatever follows it."""
        mine = self.launchpad.get_fw_by_id(self.fw_id)
        return FWAction(detours=Firework(mine.tasks, spec=mine.spec, name=mine.name))

    def already_added(self) -> bool:
        """Whether an earlier run of this very task has added to its workflow."""
        workflow = self.launchpad.get_wf_by_fw_id_lzyfw(self.fw_id)
        return bool(workflow.links.get(self.fw_id))

    def use_threads(self) -> None:
        """Limit torch to the threads that the search grants a task."""
        from pyrite.models.numerics import use_threads

        use_threads(self.config.execution.torch_threads)
