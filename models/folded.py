"""The ensemble's networks on folded geometry: energies, forces and stress of all
members at once, equal to what the networks themselves give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import schnetpack.properties as keys
import torch
from schnetpack import atomistic
from schnetpack.model import NeuralNetworkPotential
from schnetpack.representation import PaiNN, SO3net
from torch import nn

from pyrite.models import folded_painn, folded_so3net
from pyrite.models.dataset import Inputs
from pyrite.models.folded_painn import FoldedPaiNN
from pyrite.models.folded_so3net import FoldedSO3net
from pyrite.models.folding import EdgeBasis, Filters, FoldedBatch
from pyrite.models.stacked import StackedPerceptron

type FoldedRepresentation = FoldedPaiNN | FoldedSO3net


@dataclass(frozen=True)
class FoldedOutput:
    """Predictions of M members for B crystals of N atoms, without energy offsets.

    Attributes
    ----------
    energy : (M, B), eV
    forces : (M, B·N, 3), eV/Å
    stress : (M, B, 3, 3), eV/Å³, tension positive
    features : (M, F, B, N), scalar features of the representation
    """

    energy: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor
    features: torch.Tensor


def can_fold(network: NeuralNetworkPotential) -> bool:
    """Whether the folded evaluation knows every part of a network.

    Messages must be linear in the radial basis (PaiNN, SO3net), nothing may
    depend on an external field, and geometry must hold no trained parameters.
    """
    representation = network.representation
    if type(representation) not in (PaiNN, SO3net):
        return False
    outputs = [type(one) for one in network.output_modules]
    wanted = [atomistic.Atomwise, atomistic.Aggregation, atomistic.Forces]
    with_repulsion = [atomistic.Atomwise, atomistic.ZBLRepulsionEnergy, *wanted[1:]]
    fixed = [representation.radial_basis, representation.cutoff_fn]
    head = network.output_modules[0]
    return (
        outputs in (wanted, with_repulsion)
        and head.aggregation_mode == "sum"
        and type(representation.embedding) is nn.Embedding
        and not len(representation.electronic_embeddings)
        and not any(p.requires_grad for part in fixed for p in part.parameters())
        and [type(one) for one in network.input_modules]
        == [atomistic.Strain, atomistic.PairwiseDistances]
        and not (len(outputs) == len(with_repulsion) and _repulsion_is_trained(network))
    )


def _repulsion_is_trained(network: NeuralNetworkPotential) -> bool:
    # Parameters of an evaluated network do not ask for gradients, trained or not.
    fresh = atomistic.ZBLRepulsionEnergy("eV", "Ang", "energy_zbl").state_dict()
    own = network.output_modules[1].state_dict()
    return any(not torch.equal(value.to(own[name]), own[name]) for name, value in fresh.items())


# Pairs of atoms for each edge above which the table of all pairs costs more than it saves,
# measured by benchmarks/crossover.py. For SO3net that is about 30, but the table outgrows memory
# first: 3.4 GB for 250 atoms at 10.7 pairs for each edge, five members of 64 features.
_MOST_ATOMS = 300
_DENSE_UP_TO = {PaiNN: 3.5, SO3net: 12.0}


def worth_folding(network: NeuralNetworkPotential, *batches: Inputs) -> bool:
    """Whether tables of all pairs are cheaper than the lists of edges, and fit in memory."""
    sizes = torch.cat([one[keys.n_atoms] for one in batches])
    edges = 2 * sum(len(one[keys.idx_i]) for one in batches)
    limit = _DENSE_UP_TO[type(network.representation)]
    return int(sizes.max()) <= _MOST_ATOMS and int(sizes.square().sum()) <= limit * edges


def edge_basis(network: NeuralNetworkPotential) -> EdgeBasis:
    """What edges are expanded in; the same for all members."""
    if isinstance(network.representation, PaiNN):
        return folded_painn.edge_basis(network.representation)
    return folded_so3net.edge_basis(network.representation)


class FoldedEnsemble:
    """Stacked weights of M networks for which `can_fold` holds.

    Stacking is differentiable: outside ``torch.no_grad``, the gradients of what
    `__call__` returns arrive at the parameters of the networks.
    """

    def __init__(self, networks: Sequence[NeuralNetworkPotential]) -> None:
        kind: Callable[[Sequence[Any]], FoldedRepresentation]
        kind = FoldedPaiNN if isinstance(networks[0].representation, PaiNN) else FoldedSO3net
        self.representation = kind([one.representation for one in networks])
        self.head = StackedPerceptron.of([one.output_modules[0].outnet for one in networks])

    def __call__(self, batch: FoldedBatch, *, create_graph: bool = False) -> FoldedOutput:
        """Networks without repulsion and offset.

        Parameters
        ----------
        create_graph : keep what is needed to differentiate forces and stress
        """
        filters = Filters(batch)
        with torch.enable_grad():
            features = self.representation(batch, filters)
            energy = self.head(features)[:, 0].sum(-1)
        gradient = filters.edge_gradient(energy, create_graph=create_graph)
        if not create_graph:
            energy, features = energy.detach(), features.detach()
        forces, stress = batch.forces_and_stress(gradient)
        return FoldedOutput(energy, forces, stress, features)


def repulsion_of(network: NeuralNetworkPotential) -> Any:
    """The network's ZBL repulsion, if it has one; the same for all members."""
    found = [one for one in network.output_modules if isinstance(one, atomistic.ZBLRepulsionEnergy)]
    return found[0] if found else None


def repulsion(
    module: Any, batch: FoldedBatch, numbers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Energy (1, B), forces (1, B·N, 3) and stress (1, B, 3, 3) of the ZBL repulsion.

    Parameters
    ----------
    numbers : (B·N,), atomic
    """
    with torch.enable_grad():
        vectors = batch.vectors.detach().requires_grad_()
        own: Inputs = {
            keys.Z: numbers,
            keys.Rij: vectors,
            keys.idx_i: batch.i,
            keys.idx_j: batch.j,
            keys.idx_m: torch.arange(len(numbers), device=numbers.device) // batch.shape[1],
        }
        energy = 2 * module(own)[module.output_key]  # which halves the sum over both directions
        (gradient,) = torch.autograd.grad(energy.sum(), vectors)
    forces, stress = batch.forces_and_stress(gradient[:, None])
    return energy.detach()[None], forces, stress
