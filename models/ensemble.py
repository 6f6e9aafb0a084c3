"""The ensemble of SchNetPack networks, evaluated together.

`Ensemble.evaluate` is the seam between networks and everything that uses them.
Relaxation and selection see only its output.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import schnetpack.properties as keys
import torch
from schnetpack.model import NeuralNetworkPotential

from pyrite.models.dataset import Inputs, both_directions, same_size_groups
from pyrite.models.folded import (
    FoldedEnsemble,
    can_fold,
    edge_basis,
    repulsion,
    repulsion_of,
    worth_folding,
)
from pyrite.models.folding import fold as fold_geometry
from pyrite.models.networks import get_energy_offset


@dataclass(frozen=True)
class EnsembleOutput:
    """Predictions of M members for B crystals with N atoms in all.

    Attributes
    ----------
    energy : (M, B), eV
    forces : (M, N, 3), eV/Å
    stress : (M, B, 3, 3), eV/Å³, tension positive
    descriptor : (B, f), scalar features of the first member summed over atoms
        and divided by their number, so that supercells share a descriptor
    """

    energy: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor
    descriptor: torch.Tensor


# Bounds the memory of an evaluation: filters of all pairs, features and members exist at once.
_PAIRS_AT_ONCE = 16_384


class Ensemble:
    """M networks of one architecture, evaluated together.

    Networks that `can_fold` are evaluated on folded geometry, all members at
    once; others, and crystals too large for a table of all pairs, one member
    after another by SchNetPack. Both give the same numbers.

    Parameters
    ----------
    networks : at least one
    cutoff : Å, of the neighbour lists that `evaluate` expects
    device, dtype : where and in which precision the networks run
    descriptor_member : whose features describe a crystal
    fold : False evaluates everything by SchNetPack, for comparison
    """

    def __init__(
        self,
        networks: Sequence[NeuralNetworkPotential],
        cutoff: float,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        descriptor_member: int = 0,
        *,
        fold: bool = True,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.dtype = dtype
        self.cutoff = cutoff
        self.descriptor_member = descriptor_member
        self.networks = tuple(
            network.to(self.device, self.dtype).eval().requires_grad_(False) for network in networks
        )
        self._folded: FoldedEnsemble | None = None
        if fold and all(map(can_fold, self.networks)):
            self._folded = FoldedEnsemble(self.networks)
            self._basis = edge_basis(self.networks[0])
            self._repulsion = repulsion_of(self.networks[0])
            offsets = [get_energy_offset(network) for network in self.networks]
            self._offsets = torch.tensor(offsets, dtype=torch.float64, device=self.device)

    def __len__(self) -> int:
        return len(self.networks)

    def evaluate(self, inputs: Inputs) -> EnsembleOutput:
        """Energies, forces, stresses and descriptors of a batch."""
        moved = {
            key: value.to(self.device, self.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
        }
        groups = same_size_groups(moved, _PAIRS_AT_ONCE)
        if len(groups) == 1:
            return self._evaluate(moved)  # the usual case, and in order already
        outputs = [self._evaluate(one.inputs) for one in groups]
        crystals = torch.argsort(torch.cat([one.crystals for one in groups]))
        atoms = torch.argsort(torch.cat([one.atoms for one in groups]))
        return EnsembleOutput(
            torch.cat([one.energy for one in outputs], 1)[:, crystals],
            torch.cat([one.forces for one in outputs], 1)[:, atoms],
            torch.cat([one.stress for one in outputs], 1)[:, crystals],
            torch.cat([one.descriptor for one in outputs], 0)[crystals],
        )

    def _evaluate(self, inputs: Inputs) -> EnsembleOutput:
        if self._folded is not None and worth_folding(self.networks[0], inputs):
            return self._evaluate_folded(self._folded, inputs)
        return self._evaluate_stock(inputs)

    @torch.no_grad()
    def _evaluate_folded(self, folded: FoldedEnsemble, inputs: Inputs) -> EnsembleOutput:
        batch = fold_geometry(inputs, self._basis)
        output = folded(batch)
        offsets = (self._offsets[:, None] * inputs[keys.n_atoms]).to(output.energy)
        energy, forces, stress = output.energy + offsets, output.forces, output.stress
        if self._repulsion is not None:
            extra = repulsion(self._repulsion, batch, inputs[keys.Z])
            energy, forces, stress = energy + extra[0], forces + extra[1], stress + extra[2]
        features = output.features[self.descriptor_member]
        return EnsembleOutput(energy, forces, stress, features.mean(-1).T.contiguous())

    def _evaluate_stock(self, inputs: Inputs) -> EnsembleOutput:
        inputs = both_directions(inputs)
        energy, forces, stress = [], [], []
        descriptor = torch.empty(0)
        for member, network in enumerate(self.networks):
            # Networks write into their input; a shallow copy is enough.
            scratch = dict(inputs)
            output = network(scratch)
            energy.append(output[keys.energy].detach())
            forces.append(output[keys.forces].detach())
            stress.append(output[keys.stress].detach())
            if member == self.descriptor_member:
                descriptor = _pool(scratch["scalar_representation"].detach(), inputs)
        return EnsembleOutput(
            torch.stack(energy), torch.stack(forces), torch.stack(stress), descriptor
        )


def _pool(features: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    n_atoms = inputs[keys.n_atoms]
    total = features.new_zeros(len(n_atoms), features.shape[1])
    total.index_add_(0, inputs[keys.idx_m], features)
    return total / n_atoms[:, None]
