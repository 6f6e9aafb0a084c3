"""PaiNN on folded geometry: all members at once.

Equations: Schütt, Unke, Gastegger, ICML 2021 (arXiv 2102.03150), as SchNetPack
implements them, with messages summed over images as in `pyrite.models.folding`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from schnetpack.representation import PaiNN

from pyrite.models.folding import EdgeBasis, Filters, FoldedBatch
from pyrite.models.harmonics import AngularBasis
from pyrite.models.stacked import StackedLinear, StackedPerceptron, filter_weights


def edge_basis(network: PaiNN) -> EdgeBasis:
    """PaiNN's edges: the radial basis, and the direction itself."""
    angular = AngularBasis(lambda u: torch.cat([torch.ones_like(u[:, :1]), u], 1), lmax=1)
    return EdgeBasis(network.radial_basis, network.cutoff_fn, angular)


class FoldedPaiNN:
    """The representations of M members."""

    def __init__(self, networks: Sequence[Any]) -> None:
        first = networks[0]
        self.embedding = torch.stack([one.embedding.weight for one in networks])
        blocks = 3 * (1 if first.share_filters else first.n_interactions)
        self.filters = filter_weights([one.filter_net for one in networks], blocks)
        self.contexts = []
        self.channel_mixes = []
        self.mixes = []
        for n in range(first.n_interactions):
            self.contexts.append(
                StackedPerceptron.of(
                    [one.interactions[n].interatomic_context_net for one in networks]
                )
            )
            self.channel_mixes.append(
                StackedLinear.of([one.mixing[n].mu_channel_mix for one in networks])
            )
            self.mixes.append(
                StackedPerceptron.of([one.mixing[n].intraatomic_context_net for one in networks])
            )
        self.epsilon = first.mixing[0].epsilon

    def __call__(self, batch: FoldedBatch, filters: Filters) -> torch.Tensor:
        """Scalar features of the last layer, (M, F, B, N)."""
        q, mu = self._first(batch, filters)
        q, mu = self._mix(0, q, mu)
        for layer in range(1, len(self.contexts)):
            q, mu = self._interact(layer, q, mu, filters)
            q, mu = self._mix(layer, q, mu)
        return q

    def _weights(self, layer: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        start = 3 * layer % self.filters.shape[1]
        scalar, direction, vector = self.filters[:, start : start + 3].unbind(1)
        return scalar, direction, vector

    def _first(self, batch: FoldedBatch, filters: Filters) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of j are its element's, and there are no vectors to pass on."""
        embedding = self.embedding[:, batch.elements].transpose(1, 2)  # M, F, n
        to_scalar, to_vector, _ = self.contexts[0](embedding).chunk(3, dim=1)
        scalar, direction, _ = self._weights(0)
        dq = filters.of_elements(to_scalar[..., None] * scalar[:, :, None, :], 0)[..., 0]
        mu = filters.of_elements(to_vector[..., None] * direction[:, :, None, :], 1)
        return embedding[:, :, batch.species] + dq, mu

    def _interact(
        self, layer: int, q: torch.Tensor, mu: torch.Tensor, filters: Filters
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Q (M, F, B, N) and mu (M, F, B, N, 3) after messages from all atoms."""
        to_scalar, to_vector, pass_on = self.contexts[layer](q).chunk(3, dim=1)
        scalar, direction, vector = self._weights(layer)
        # Atoms i and components become the rows of one product; views cost nothing.
        for_scalar = filters.of_pairs(scalar, 0).flatten(3, 4)
        for_vector = filters.of_pairs(vector, 0).flatten(3, 4)
        directed = filters.of_pairs(direction, 1).flatten(3, 4)
        dq = for_scalar @ to_scalar[..., None]
        passed = for_vector @ (pass_on[..., None] * mu)
        pointed = directed @ to_vector[..., None]
        return q + dq.view_as(q), mu + passed + pointed.view_as(mu)

    def _mix(
        self, layer: int, q: torch.Tensor, mu: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        v, w = self.channel_mixes[layer](mu).chunk(2, dim=1)
        norm = torch.sqrt(v.square().sum(-1) + self.epsilon)
        dq, dmu, both = self.mixes[layer](torch.cat([q, norm], 1)).chunk(3, dim=1)
        return q + dq + both * (v * w).sum(-1), mu + dmu[..., None] * w
