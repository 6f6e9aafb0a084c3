"""SO3net on folded geometry: all members at once.

SO3net is SchNetPack's equivariant network of Clebsch-Gordan products; messages
are summed over images as in `pyrite.models.folding`.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from schnetpack.representation import SO3net

from pyrite.models.folding import EdgeBasis, Filters, FoldedBatch
from pyrite.models.harmonics import AngularBasis, components
from pyrite.models.stacked import StackedLinear, filter_weights, linear


def edge_basis(network: SO3net) -> EdgeBasis:
    """SO3net's edges: the radial basis and its real spherical harmonics."""
    harmonics = copy.deepcopy(network.sphharm).cpu().double()
    angular = AngularBasis(harmonics, network.lmax)
    return EdgeBasis(network.radial_basis, network.cutoff_fn, angular)


# Rows whose products are formed at once: few enough to stay in a CPU's cache.
_ROWS_AT_ONCE = 2048


class _Couple(torch.autograd.Function):
    """Σ_s1,s2 a_s1 b_s2 C_s1,s2,s for each row of a and b.

    The products of all pairs of components are many times larger than the result
    and would fill the memory of a graph. The derivative of such a coupling is one
    with permuted coefficients, so nothing but a and b is kept, to any order.
    """

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, coupling: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a, b, coupling)
        matrix = coupling.flatten(0, 1)
        result = a.new_empty(len(a), coupling.shape[2])
        # Repeating components by a matrix product is faster than broadcasting over nine.
        unit = torch.eye(coupling.shape[0]).to(coupling)
        first = unit.repeat_interleave(len(unit), dim=1)
        second = unit.repeat(1, len(unit))
        at_once = _ROWS_AT_ONCE if a.device.type == "cpu" else max(len(a), 1)
        for start in range(0, len(a), at_once):
            rows = slice(start, start + at_once)
            products = (a[rows] @ first).mul_(b[rows] @ second)
            torch.mm(products, matrix, out=result[rows])
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        a, b, coupling = ctx.saved_tensors
        (gradient,) = gradients
        return (
            _Couple.apply(gradient, b, coupling.permute(2, 1, 0)),
            _Couple.apply(gradient, a, coupling.permute(2, 0, 1)),
            None,
        )


def couple(a: torch.Tensor, b: torch.Tensor, coupling: torch.Tensor) -> torch.Tensor:
    """Clebsch-Gordan product of multipole features (…, S) with coefficients (S, S, S)."""
    size = a.shape[-1]
    rows = _Couple.apply(a.reshape(-1, size), b.reshape(-1, size), coupling)
    result: torch.Tensor = rows.view(a.shape)
    return result


class FoldedSO3net:
    """The representations of M members.

    Features are (M, F, B, N, S) with S = (lmax + 1)² multipole components.
    """

    def __init__(self, networks: Sequence[Any]) -> None:
        first = networks[0]
        self.degrees = first.lmax + 1
        self.embedding = torch.stack([one.embedding.weight for one in networks])
        self.shared = all(conv is first.so3convs[0] for conv in first.so3convs)
        self.coupling = _coupling(first)
        self.filters = []
        self.mixes = []
        self.gates = []
        for n in range(first.n_interactions):
            self.filters.append(
                filter_weights([one.so3convs[n].filternet for one in networks], self.degrees)
            )
            self.mixes.append(
                [
                    torch.stack([getattr(one, name)[n].weight for one in networks])
                    for name in ("mixings1", "mixings2", "mixings3")
                ]
            )
            self.gates.append(StackedLinear.of([one.gatings[n].scaling for one in networks]))

    def __call__(self, batch: FoldedBatch, filters: Filters) -> torch.Tensor:
        """Scalar features of the last layer, (M, F, B, N)."""
        embedding = self.embedding[:, batch.elements].transpose(1, 2)  # M, F, n
        y = torch.cat(
            [
                filters.of_elements(
                    embedding[..., None] * self.filters[0][:, degree, :, None, :], degree
                )
                for degree in range(self.degrees)
            ],
            dim=-1,
        )
        # One, but for the rounding of SchNetPack's coefficients.
        to_scalar = self.coupling[:, 0].diagonal()
        x = self._update(0, y * to_scalar)
        scalar = x[..., :1] + embedding[:, :, batch.species, None]
        x = torch.cat([scalar, x[..., 1:]], dim=-1)
        pair_filters: list[torch.Tensor] = []
        for layer in range(1, len(self.filters)):
            if not (pair_filters and self.shared):
                pair_filters = [
                    filters.of_pairs(self.filters[layer][:, degree], degree)
                    for degree in range(self.degrees)
                ]
            x = x + self._update(layer, self._convolve(pair_filters, x))
        return x[..., 0]

    def _convolve(self, pair_filters: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """y_i,s = Σ_j,s1,s2 G_ij,s1 x_j,s2 C_s1,s2,s."""
        total = torch.zeros_like(x)
        for degree, one in enumerate(pair_filters):
            products = one.flatten(3, 4) @ x  # M, F, B, (i s1), s2
            coupling = self.coupling[components(degree)].flatten(0, 1)
            total = total + products.view(*x.shape[:4], -1) @ coupling
        return total

    def _update(self, layer: int, y: torch.Tensor) -> torch.Tensor:
        """Mixing, self-coupling and gating of convolved features."""
        mix1, mix2, mix3 = self.mixes[layer]
        y = y + couple(y, linear(mix1, y), self.coupling)
        y = linear(mix2, y)
        gates = self.gates[layer](y[..., 0]).sigmoid()
        gates = gates.view(len(gates), self.degrees, -1, *gates.shape[2:])
        return linear(
            mix3,
            torch.cat(
                [
                    y[..., components(degree)] * gates[:, degree, ..., None]
                    for degree in range(self.degrees)
                ],
                dim=-1,
            ),
        )


def _coupling(network: Any) -> torch.Tensor:
    """The network's own Clebsch-Gordan coefficients, dense: (S, S, S)."""
    product = network.so3product
    size = (network.lmax + 1) ** 2
    dense: torch.Tensor = product.clebsch_gordan.new_zeros(size, size, size)
    dense[product.idx_in_1, product.idx_in_2, product.idx_out] = product.clebsch_gordan
    return dense
