"""The geometry of crystals, summed over periodic images before any weight is met.

In PaiNN and SO3net a message from atom j to atom i is linear in the features of
j, and its filter is one linear layer on the radial basis. All images I of the
pair (i, j) carry the same features, so their filters can be summed in geometry:

    T_ij[k, s] = Σ_I φ_k(r_I) f_c(r_I) Y_s(r̂_I),   φ_K = 1 for the bias,

and the filter of member m and layer n is W_mn T. T is shared by all members and
layers. In the first layer the features of j depend on its element only, so that
T can even be summed over all atoms of an element. Nothing is approximated.

Seen from j, the same images lie at −r: T_ji[k, s] = (−1)^l T_ij[k, s]. Each pair
is therefore expanded once.

One backward pass gives dE_m/dT for each member; the product with dT/dv along
each edge vector v gives dE/dv, from which follow forces (F_i += dE/dv,
F_j −= dE/dv) and stress (Σ v ⊗ dE/dv / V).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import schnetpack.properties as keys
import torch
from torch import nn

from pyrite.models.dataset import Inputs
from pyrite.models.harmonics import AngularBasis, components

# Far below what either precision can add to a number of order one.
_NEGLIGIBLE = 1e-20

# Edges whose gradients are gathered at once: small enough for a CPU's cache.
_EDGES_AT_ONCE = 2048


@dataclass(frozen=True)
class EdgeBasis:
    """The functions of an edge that filters are linear in: K radial, S angular."""

    radial: nn.Module
    cutoff: nn.Module
    angular: AngularBasis

    def radial_part(self, length: torch.Tensor) -> torch.Tensor:
        """φ_k f_c and its derivative in r.

        Parameters
        ----------
        length : (E,), Å

        Returns
        -------
        (E, 2, K) : the derivative first; the last function is f_c alone, for biases
        """

        def functions(r: torch.Tensor) -> torch.Tensor:
            basis = torch.cat([self.radial(r[:, None])[:, 0], torch.ones_like(r)[:, None]], 1)
            inside: torch.Tensor = self.cutoff(r)[:, None]
            return basis * inside

        found = torch.func.jvp(functions, (length,), (torch.ones_like(length),))
        radial = torch.stack([found[1], found[0]], dim=1)
        # Tails of Gaussians are subnormal numbers, which slow a CPU down tenfold.
        return torch.where(radial.abs() < _NEGLIGIBLE, 0.0, radial)


@dataclass(frozen=True)
class FoldedBatch:
    """B crystals of N atoms each, folded.

    Attributes
    ----------
    elements : (n,) atomic numbers that occur
    species : (B, N) which of ``elements`` each atom is
    volume : (B,), Å³
    tables : for each degree l, (K, B, N, 2l + 1, N): T of the pair (i, j), with i before s
    element_tables : for each l, (n, K, B, N, 2l + 1): T summed over the j of one element
    i, j, crystal, pair : (E,) of each edge, one for two atoms that see each other; atoms
        counted through the batch
    vectors : (E, 3), Å
    radial : (E, 2, K), see `EdgeBasis.radial_part`
    angular : (E, 2 S, 3): Y_s r̂, which goes with the radial derivative, then ∂Y_s/∂v
    """

    elements: torch.Tensor
    species: torch.Tensor
    volume: torch.Tensor
    tables: tuple[torch.Tensor, ...]
    element_tables: tuple[torch.Tensor, ...]
    i: torch.Tensor
    j: torch.Tensor
    crystal: torch.Tensor
    pair: torch.Tensor
    vectors: torch.Tensor
    radial: torch.Tensor
    angular: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(B, N)."""
        return self.species.shape[0], self.species.shape[1]

    def edge_gradient(
        self, pairs: Sequence[torch.Tensor | None], by_element: Sequence[torch.Tensor | None]
    ) -> torch.Tensor:
        """dE/dv of each edge and member.

        Parameters
        ----------
        pairs : for each l, dE/d``tables``, (M, K, B, N, 2l + 1, N)
        by_element : for each l, dE/d``element_tables``, (M, n, K, B, N, 2l + 1)

        Returns
        -------
        (E, M, 3), eV/Å
        """
        parts = []
        for degree, (pair, element) in enumerate(zip(pairs, by_element, strict=True)):
            terms = [pair] if pair is not None else []
            if element is not None:
                terms.append(self._spread(element))
            # The edges of a pair come next to each other in memory, as do the members.
            total = sum(terms[1:], start=terms[0]).permute(2, 3, 5, 1, 0, 4)
            parts.append(_both_ways(total, degree))
        gradient = torch.cat(parts, dim=-1)  # B, i, j, K, M, S
        n_radial, members, n_angular = gradient.shape[3:]
        gradient = gradient.reshape(-1, n_radial, members * n_angular)
        starts = range(0, max(len(self.pair), 1), _EDGES_AT_ONCE)
        chunks = [slice(start, start + _EDGES_AT_ONCE) for start in starts]
        contracted = torch.cat(
            [self.radial[one] @ gradient.index_select(0, self.pair[one]) for one in chunks]
        ).view(-1, 2, members, n_angular)
        return contracted.transpose(1, 2).flatten(2) @ self.angular

    def _spread(self, element: torch.Tensor) -> torch.Tensor:
        """From sums over the atoms j of an element to each j: (M, K, B, N, 2l + 1, N)."""
        if len(self.elements) == 1:
            whole = element[:, 0, ..., None]
            return whole.expand(*whole.shape[:-1], self.shape[1])
        one_hot = nn.functional.one_hot(self.species, len(self.elements)).to(element)
        return torch.einsum("mnkbis,bjn->mkbisj", element, one_hot)

    def forces_and_stress(self, edge_gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Forces (M, B·N, 3) in eV/Å and stress (M, B, 3, 3) in eV/Å³ from dE/dv (E, M, 3)."""
        n_crystals, n_atoms = self.shape
        members = edge_gradient.shape[1]
        forces = edge_gradient.new_zeros(n_crystals * n_atoms, members, 3)
        forces = forces.index_add(0, self.i, edge_gradient).index_add(0, self.j, -edge_gradient)
        virial = edge_gradient.new_zeros(n_crystals, members, 3, 3).index_add(
            0, self.crystal, edge_gradient[..., :, None] * self.vectors[:, None, None, :]
        )
        stress = virial / self.volume[:, None, None, None]
        return forces.transpose(0, 1), stress.transpose(0, 1)


def fold(inputs: Inputs, basis: EdgeBasis, elements: torch.Tensor | None = None) -> FoldedBatch:
    """Fold crystals that all have the same number of atoms.

    Parameters
    ----------
    inputs : each pair once, see `pyrite.models.dataset.network_inputs`
    elements : atomic numbers to tell apart, sorted; those of the batch if None
    """
    n_crystals, n_atoms = len(inputs[keys.n_atoms]), int(inputs[keys.n_atoms][0])
    i, j = inputs[keys.idx_i], inputs[keys.idx_j]
    vectors = inputs[keys.R][j] - inputs[keys.R][i] + inputs[keys.offsets]
    length = vectors.norm(dim=1)
    unit = vectors / length[:, None]
    radial = basis.radial_part(length)
    values, slopes = basis.angular(unit)
    along = (slopes @ unit[:, :, None]) * unit[:, None, :]
    angular = torch.cat(
        [values[:, :, None] * unit[:, None, :], (slopes - along) / length[:, None, None]], 1
    )
    pair = i * n_atoms + j % n_atoms
    flat = vectors.new_zeros(n_crystals * n_atoms**2, radial.shape[2] * values.shape[1])
    flat.index_add_(0, pair, (radial[:, 1, :, None] * values[:, None, :]).flatten(1))
    table = flat.view(n_crystals, n_atoms, n_atoms, radial.shape[2], values.shape[1])
    numbers = inputs[keys.Z].view(n_crystals, n_atoms)
    if elements is None:
        elements = torch.unique(numbers)
    species = torch.searchsorted(elements, numbers)
    tables = tuple(
        _both_ways(table[..., components(degree)], degree).permute(3, 0, 1, 4, 2).contiguous()
        for degree in range(basis.angular.lmax + 1)
    )
    one_hot = nn.functional.one_hot(species, len(elements)).to(vectors)
    return FoldedBatch(
        elements=elements,
        species=species,
        volume=torch.linalg.det(inputs[keys.cell]).abs(),
        tables=tables,
        element_tables=tuple(
            torch.stack(
                [(one * one_hot[:, None, None, :, e]).sum(-1) for e in range(len(elements))]
            )
            for one in tables
        ),
        i=i,
        j=j,
        crystal=i // n_atoms,
        pair=pair,
        vectors=vectors,
        radial=radial,
        angular=angular,
    )


def _both_ways(pairs: torch.Tensor, degree: int) -> torch.Tensor:
    """T_ij + (−1)^l T_ji for (B, N, N, …)."""
    mirrored = pairs.transpose(1, 2)
    return pairs - mirrored if degree % 2 else pairs + mirrored


def join(batches: Sequence[FoldedBatch]) -> FoldedBatch:
    """One batch of several with the same number of atoms, folded for the same elements."""
    n_atoms = batches[0].shape[1]
    before = [0]
    for one in batches:
        before.append(before[-1] + one.shape[0])

    def shifted(name: str, step: int) -> torch.Tensor:
        return torch.cat(
            [getattr(one, name) + step * n for one, n in zip(batches, before, strict=False)]
        )

    def joined(name: str) -> torch.Tensor:
        return torch.cat([getattr(one, name) for one in batches])

    return FoldedBatch(
        elements=batches[0].elements,
        species=joined("species"),
        volume=joined("volume"),
        tables=tuple(
            torch.cat(several, dim=1)
            for several in zip(*(one.tables for one in batches), strict=True)
        ),
        element_tables=tuple(
            torch.cat(several, dim=2)
            for several in zip(*(one.element_tables for one in batches), strict=True)
        ),
        i=shifted("i", n_atoms),
        j=shifted("j", n_atoms),
        crystal=shifted("crystal", 1),
        pair=shifted("pair", n_atoms**2),
        vectors=joined("vectors"),
        radial=joined("radial"),
        angular=joined("angular"),
    )


class Filters:
    """Filters of all members over one batch, and the energy's gradient through them."""

    def __init__(self, batch: FoldedBatch) -> None:
        self.batch = batch
        self._made: list[tuple[torch.Tensor, torch.Tensor, int, bool]] = []

    def of_pairs(self, weight: torch.Tensor, degree: int) -> torch.Tensor:
        """W T for each pair: (M, F, K) to (M, F, B, N, 2l + 1, N)."""
        return self._apply(weight, degree, self.batch.tables[degree], by_element=False)

    def of_elements(self, weight: torch.Tensor, degree: int) -> torch.Tensor:
        """W T summed over neighbours: (M, F, n, K) to (M, F, B, N, 2l + 1)."""
        table = self.batch.element_tables[degree].flatten(0, 1)
        return self._apply(weight.flatten(2), degree, table, by_element=True)

    def _apply(
        self, weight: torch.Tensor, degree: int, table: torch.Tensor, *, by_element: bool
    ) -> torch.Tensor:
        product = weight.reshape(-1, weight.shape[2]) @ table.flatten(1)
        filters = product.view(*weight.shape[:2], *table.shape[1:])
        if not filters.requires_grad:
            filters.requires_grad_()
        self._made.append((filters, weight, degree, by_element))
        return filters

    def edge_gradient(self, energy: torch.Tensor, *, create_graph: bool) -> torch.Tensor:
        """dE/dv of each edge and member, (E, M, 3), for ``energy`` (M, B)."""
        filters = [made[0] for made in self._made]
        with torch.enable_grad():
            gradients = torch.autograd.grad(energy.sum(), filters, create_graph=create_graph)
        degrees = len(self.batch.tables)
        n = len(self.batch.elements)
        pairs: list[torch.Tensor | None] = [None] * degrees
        by_element: list[torch.Tensor | None] = [None] * degrees
        with torch.set_grad_enabled(create_graph):
            for gradient, (_, weight, degree, is_element) in zip(
                gradients, self._made, strict=True
            ):
                total = weight.transpose(1, 2) @ gradient.flatten(2)
                if is_element:
                    total = total.view(len(weight), n, -1, *gradient.shape[2:])
                    found = by_element
                else:
                    total = total.view(len(weight), -1, *gradient.shape[2:])
                    found = pairs
                before = found[degree]
                found[degree] = total if before is None else before + total
            return self.batch.edge_gradient(pairs, by_element)
