"""Reference calculations: labels for training, relaxations for validation.

The task has the name of its production use; which engine made a number is
written into every label.
"""

from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.documents import Label, LabelStatus
from pyrite.firetasks.base import SearchTask
from pyrite.models.walltime import OutOfTime
from pyrite.settings import settings


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
        from pyrite.models.labels import require_same_method

        search_id, k = self["search_id"], self["iteration"]
        picks = self.store.iteration(search_id, k).picks
        ok = self._to_compare_with(k)
        done = {one.candidate_id for one in ok if one.iteration == k}
        mine = partition.share(picks, chunk, partition.chunks(self.config, len(picks)))
        missing = [pick for pick in mine if pick.candidate_id not in done]
        self.use_threads()
        engine = make_engine(self.config.reference, self.directory, settings().machine())
        longest = max((one.provenance.seconds for one in ok), default=0.0)
        for left, label in zip(
            range(len(missing) - 1, -1, -1),
            steps.label(self.config, search_id, engine, k, missing),
            strict=True,
        ):
            for first in ok[:1]:
                require_same_method(first, label)  # before it is kept: the way back stays open
            self.store.put_labels([label])
            longest = max(longest, label.provenance.seconds)
            if left:
                self.deadline.require(longest)

    def _relax_finalist(self, finalist: int) -> None:
        from pyrite.models.engines import make_engine
        from pyrite.models.labels import require_same_method
        from pyrite.models.validation import validate

        search_id, k = self["search_id"], self["iteration"]
        iteration = self.store.iteration(search_id, k)
        one = iteration.finalists[finalist]
        begun = next(
            (
                done
                for done in self.store.validations(search_id)
                if (done.iteration, done.candidate_id, done.status)
                == (k, one.candidate_id, LabelStatus.OK)
            ),
            None,
        )
        if begun is not None and not begun.interrupted:
            return
        self.use_threads()
        engine = make_engine(self.config.reference, self.directory, settings().machine())
        found = validate(self.config, iteration, engine, one, begun)
        ok = self._to_compare_with(k)
        for first in ok[:1]:
            require_same_method(first, found)
        self.store.put_validation(found)
        if found.interrupted:
            raise OutOfTime

    def _to_compare_with(self, k: int) -> list[Label]:
        """Successful labels of the first iteration and of this one; all may be thousands."""
        iterations = sorted({0, k})
        labels = [one for n in iterations for one in self.store.labels(self["search_id"], n)]
        return [one for one in labels if one.status is LabelStatus.OK]
