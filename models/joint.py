"""Members of an ensemble on the same labels: predictions that can be differentiated.

What depends on geometry alone is computed once for each label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import schnetpack.properties as keys
import torch
from schnetpack.model import NeuralNetworkPotential

from pyrite.models.dataset import Inputs, Targets, TrainingSet, both_directions
from pyrite.models.folded import (
    FoldedEnsemble,
    can_fold,
    edge_basis,
    repulsion,
    repulsion_of,
    worth_folding,
)
from pyrite.models.folding import FoldedBatch, fold, join


@dataclass(frozen=True)
class Predictions:
    """Of M members for B labels with N atoms in all: energy (M, B) in eV without
    the mean per atom, forces (M, N, 3) in eV/Å, stress (M, B, 3, 3) in eV/Å³."""

    energy: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor


class Batch(Protocol):
    """Some labels, ready to be predicted.

    Attributes
    ----------
    targets : in the order of the predictions
    n_atoms : (B,), in the same order
    """

    targets: Targets
    n_atoms: torch.Tensor

    def predict(
        self, networks: Sequence[NeuralNetworkPotential], *, create_graph: bool
    ) -> Predictions:
        """Predictions of some members, differentiable in their parameters if asked."""


class PreparedLabels(Protocol):
    """All labels of a training, prepared for networks of one architecture."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """Some of the labels."""


# Bounds the memory of an update: filters of all pairs and members, and their gradients.
_PAIRS_AT_ONCE = 32_768


def prepare(
    data: TrainingSet, network: NeuralNetworkPotential, device: torch.device, batch_size: int
) -> PreparedLabels:
    """Fold labels if the networks allow it and the crystals are small enough."""
    largest = max(int(one[keys.n_atoms][0]) for one in data.inputs)
    fits = batch_size * largest**2 <= _PAIRS_AT_ONCE
    if fits and can_fold(network) and worth_folding(network, *data.inputs):
        return FoldedLabels(data, network, device)
    return StockLabels(data, device)


class FoldedLabels:
    """Labels on folded geometry; all members are evaluated at once.

    A fixed repulsion is taken out of the targets, so that training never meets it.
    """

    def __init__(
        self, data: TrainingSet, network: NeuralNetworkPotential, device: torch.device
    ) -> None:
        elements = torch.unique(torch.cat([one[keys.Z] for one in data.inputs])).to(device)
        basis, extra = edge_basis(network), repulsion_of(network)
        self.labels: list[tuple[FoldedBatch, Targets]] = []
        for inputs, targets in zip(data.inputs, data.targets, strict=True):
            moved = {key: value.to(device) for key, value in inputs.items()}
            with torch.no_grad():
                batch = fold(moved, basis, elements)
            left = targets.to(device)
            if extra is not None:
                energy, forces, stress = repulsion(extra, batch, moved[keys.Z])
                left = Targets(
                    left.energy - energy[0], left.forces - forces[0], left.stress - stress[0]
                )
            self.labels.append((batch, left))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int]) -> "JoinedLabels":
        """Labels joined by their number of atoms."""
        chosen = sorted((self.labels[index] for index in indices), key=lambda one: one[0].shape[1])
        return JoinedLabels(chosen)


class JoinedLabels:
    """A batch of `FoldedLabels`."""

    def __init__(self, labels: Sequence[tuple[FoldedBatch, Targets]]) -> None:
        sizes = [batch.shape[1] for batch, _ in labels]
        self.groups = [
            join([batch for batch, _ in labels if batch.shape[1] == size])
            for size in sorted(set(sizes))
        ]
        self.targets = Targets.join([targets for _, targets in labels])
        self.n_atoms = torch.tensor(sizes, device=self.targets.energy.device)

    def predict(
        self, networks: Sequence[NeuralNetworkPotential], *, create_graph: bool
    ) -> Predictions:
        """All members at once."""
        with torch.set_grad_enabled(create_graph):
            folded = FoldedEnsemble(networks)
            outputs = [folded(group, create_graph=create_graph) for group in self.groups]
            return Predictions(
                torch.cat([one.energy for one in outputs], 1),
                torch.cat([one.forces for one in outputs], 1),
                torch.cat([one.stress for one in outputs], 1),
            )


class StockLabels:
    """Labels for networks that cannot be folded; one member after another."""

    def __init__(self, data: TrainingSet, device: torch.device) -> None:
        self.data = data
        self.device = device

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, indices: Sequence[int]) -> "StockBatch":
        """Labels in one SchNetPack input."""
        inputs, targets = self.data.batch(indices)
        moved = {key: value.to(self.device) for key, value in inputs.items()}
        return StockBatch(both_directions(moved), targets.to(self.device))


class StockBatch:
    """A batch of `StockLabels`."""

    def __init__(self, inputs: Inputs, targets: Targets) -> None:
        self.inputs, self.targets = inputs, targets
        self.n_atoms = inputs[keys.n_atoms]

    def predict(
        self, networks: Sequence[NeuralNetworkPotential], *, create_graph: bool
    ) -> Predictions:
        """SchNetPack's own evaluation."""
        outputs = []
        with torch.enable_grad():  # forces are a derivative inside the network
            for network in networks:
                mode = network.training
                # In evaluation mode SchNetPack keeps no graph of the forces.
                network.train(create_graph)
                network.do_postprocessing = False
                outputs.append(network(dict(self.inputs)))
                network.do_postprocessing = True
                network.train(mode)
        found = [
            torch.stack([one[key] if create_graph else one[key].detach() for one in outputs])
            for key in (keys.energy, keys.forces, keys.stress)
        ]
        return Predictions(*found)
