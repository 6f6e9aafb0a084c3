"""Clustering of the relaxed pool and the choice of the next labels."""

from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.firetasks.base import SearchTask


@explicit_serialize
class ClusterSelect(SearchTask):
    """Group the relaxed pool and choose what to label next.

    Parameters
    ----------
    search_id, iteration : which cycle
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration"]

    def work(self) -> None:
        """Cluster, select, save."""
        from pyrite.models import steps

        search_id, k = self["search_id"], self["iteration"]
        selected = steps.cluster_and_select(
            self.config,
            self.store.iteration(search_id, k),
            self.store.relaxations(search_id, k, before=False),
            self.labels(k),
        )
        # A ghost that ends late must not wipe out what came after it.
        if self.store.iteration(search_id, k).convergence is None:
            self.store.put_iteration(selected)
