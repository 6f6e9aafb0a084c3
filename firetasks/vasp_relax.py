"""Reference calculations: labels for training, relaxations for validation.

The task has the name of its production use; which engine made a number is
written into every label.
"""

from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.documents import LabelStatus
from pyrite.firetasks.base import SearchTask


@explicit_serialize
class VaspRelax(SearchTask):
    """One chunk of an iteration's labels, or the relaxation of one finalist.

    Parameters
    ----------
    search_id, iteration : which cycle
    chunk : which share of the iteration's labels
    finalist : which of the iteration's finalists to relax, instead of ``chunk``
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration"]
    optional_params: ClassVar[list[str]] = ["chunk", "finalist"]

    def work(self) -> None:
        """Label a chunk or relax a finalist."""
        if "finalist" in self:
            self._relax_finalist(self["finalist"])
        else:
            self._label_chunk(self["chunk"])

    def _label_chunk(self, chunk: int) -> None:
        from pyrite.models import partition, steps
        from pyrite.models.engines import make_engine

        search_id, k = self["search_id"], self["iteration"]
        picks = self.store.iteration(search_id, k).picks
        done = {
            one.candidate_id
            for one in self.store.labels(search_id, iteration=k)
            if one.status is LabelStatus.OK
        }
        mine = partition.share(picks, chunk, partition.chunks(self.config, len(picks)))
        missing = [pick for pick in mine if pick.candidate_id not in done]
        self.use_threads()
        engine = make_engine(self.config.reference, self.directory)
        for label in steps.label(self.config, search_id, engine, k, missing):
            self.store.put_labels([label])

    def _relax_finalist(self, finalist: int) -> None:
        from pyrite.models.engines import make_engine
        from pyrite.models.validation import validate

        search_id, k = self["search_id"], self["iteration"]
        iteration = self.store.iteration(search_id, k)
        one = iteration.finalists[finalist]
        if any(
            (done.iteration, done.candidate_id, done.status)
            == (k, one.candidate_id, LabelStatus.OK)
            for done in self.store.validations(search_id)
        ):
            return
        self.use_threads()
        engine = make_engine(self.config.reference, self.directory)
        self.store.put_validation(validate(self.config, iteration, engine, one))
