"""Crystals and labels as the tensors that networks take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import schnetpack.properties as keys
import torch
from vesin import NeighborList

from pyrite.config import TrainingConfig
from pyrite.documents import Crystal, Label, LabelStatus

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Neighbors:
    """Pairs of one crystal, each once: atoms ``i`` ≤ ``j`` (E,) and the cell shifts
    (E, 3) of ``j``."""

    i: np.ndarray
    j: np.ndarray
    shifts: np.ndarray


def neighbors(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> Neighbors:
    """All pairs, periodic images included, closer than ``cutoff`` (Å), each once.

    Parameters
    ----------
    positions : (N, 3) array in Å
    cell : (3, 3) array, rows are lattice vectors in Å
    """
    i, j, shifts = NeighborList(cutoff=cutoff, full_list=False).compute(
        points=positions, box=cell, periodic=True, quantities="ijS"
    )
    # A fixed direction and order make sums, and with them a whole search, reproducible.
    leading = shifts[np.arange(len(shifts)), (shifts != 0).argmax(1)]
    shifts = np.where(((i > j) | ((i == j) & (leading < 0)))[:, None], -shifts, shifts)
    i, j = np.minimum(i, j).astype(np.int64), np.maximum(i, j).astype(np.int64)
    order = np.lexsort((*shifts.T, j, i))
    return Neighbors(i[order], j[order], shifts[order])


def network_inputs(
    numbers: torch.Tensor,
    positions: torch.Tensor,
    cell: torch.Tensor,
    n_atoms: torch.Tensor,
    edges: Sequence[Neighbors],
    dtype: torch.dtype = torch.float32,
) -> Inputs:
    """A batch of B crystals with N atoms in all, under SchNetPack's keys.

    Every pair occurs once; see `both_directions` for what SchNetPack's networks take.

    Parameters
    ----------
    numbers : (N,) int
    positions : (N, 3), Å
    cell : (B, 3, 3), rows are lattice vectors, Å
    n_atoms : (B,) int
    edges : one entry per crystal, indices counted from its first atom
    """
    device = positions.device
    first = (torch.cumsum(n_atoms, 0) - n_atoms).tolist()
    i = np.concatenate([edge.i + start for edge, start in zip(edges, first, strict=True)])
    j = np.concatenate([edge.j + start for edge, start in zip(edges, first, strict=True)])
    shifts = torch.from_numpy(np.concatenate([edge.shifts for edge in edges])).to(cell)
    edges_per_crystal = torch.tensor([len(edge.i) for edge in edges], device=device)
    crystal_of_edge = torch.repeat_interleave(edges_per_crystal)
    offsets = torch.einsum("ea,eab->eb", shifts, cell[crystal_of_edge])
    return {
        keys.Z: numbers,
        keys.R: positions.to(dtype),
        keys.cell: cell.to(dtype),
        keys.n_atoms: n_atoms,
        keys.idx_m: torch.repeat_interleave(n_atoms),
        keys.idx_i: torch.from_numpy(i).to(device),
        keys.idx_j: torch.from_numpy(j).to(device),
        keys.offsets: offsets.to(dtype),
    }


def both_directions(inputs: Inputs) -> Inputs:
    """The same batch with an edge from i to j and one from j to i for every pair."""
    i, j, offsets = (inputs[key] for key in (keys.idx_i, keys.idx_j, keys.offsets))
    return {
        **inputs,
        keys.idx_i: torch.cat([i, j]),
        keys.idx_j: torch.cat([j, i]),
        keys.offsets: torch.cat([offsets, -offsets]),
    }


def crystal_inputs(
    crystals: Sequence[Crystal], cutoff: float, dtype: torch.dtype = torch.float32
) -> Inputs:
    """Inputs for a list of crystals, on the CPU."""
    positions = [np.array(crystal.positions) for crystal in crystals]
    cells = [np.array(crystal.cell) for crystal in crystals]
    return network_inputs(
        torch.tensor([number for crystal in crystals for number in crystal.numbers]),
        torch.from_numpy(np.concatenate(positions)),
        torch.from_numpy(np.stack(cells)),
        torch.tensor([len(crystal.numbers) for crystal in crystals]),
        [neighbors(r, h, cutoff) for r, h in zip(positions, cells, strict=True)],
        dtype,
    )


@dataclass(frozen=True)
class Group:
    """The crystals of a batch that have one number of atoms.

    Attributes
    ----------
    crystals, atoms : their indices in the whole batch
    inputs : of these crystals alone
    """

    crystals: torch.Tensor
    atoms: torch.Tensor
    inputs: Inputs


def same_size_groups(inputs: Inputs, pairs_at_once: int) -> list[Group]:
    """Divide a batch by the number of atoms, smallest crystals first.

    Parameters
    ----------
    pairs_at_once : largest number of pairs of atoms in a group of several crystals
    """
    n_atoms = inputs[keys.n_atoms]
    several: list[torch.Tensor] = []
    for size in torch.unique(n_atoms):
        at_once = max(1, pairs_at_once // int(size) ** 2)
        several += torch.split(torch.nonzero(n_atoms == size)[:, 0], at_once)
    if len(several) == 1:
        atoms = torch.arange(len(inputs[keys.Z]), device=n_atoms.device)
        return [Group(several[0], atoms, inputs)]
    groups = []
    for crystals in several:
        mine = torch.zeros_like(n_atoms, dtype=torch.bool)
        mine[crystals] = True
        of_atoms = mine[inputs[keys.idx_m]]
        edges = of_atoms[inputs[keys.idx_i]]
        new_index = torch.cumsum(of_atoms, 0) - 1
        groups.append(
            Group(
                crystals,
                torch.nonzero(of_atoms)[:, 0],
                {
                    keys.Z: inputs[keys.Z][of_atoms],
                    keys.R: inputs[keys.R][of_atoms],
                    keys.cell: inputs[keys.cell][mine],
                    keys.n_atoms: n_atoms[mine],
                    keys.idx_m: torch.repeat_interleave(n_atoms[mine]),
                    keys.idx_i: new_index[inputs[keys.idx_i][edges]],
                    keys.idx_j: new_index[inputs[keys.idx_j][edges]],
                    keys.offsets: inputs[keys.offsets][edges],
                },
            )
        )
    return groups


@dataclass(frozen=True)
class Targets:
    """Reference values of B crystals with N atoms: energy (B,) in eV with the
    mean per atom removed, forces (N, 3) in eV/Å, stress (B, 3, 3) in eV/Å³."""

    energy: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor

    def to(self, device: torch.device) -> "Targets":
        """The same on a device."""
        return Targets(self.energy.to(device), self.forces.to(device), self.stress.to(device))

    @classmethod
    def join(cls, several: Sequence["Targets"]) -> "Targets":
        """One after another."""
        return cls(
            torch.cat([one.energy for one in several]),
            torch.cat([one.forces for one in several]),
            torch.cat([one.stress for one in several]),
        )


@dataclass(frozen=True)
class TrainingSet:
    """Labels as single-crystal inputs, whose neighbour lists are built once."""

    inputs: tuple[Inputs, ...]
    targets: tuple[Targets, ...]
    energy_offset: float

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: Sequence[int]) -> tuple[Inputs, Targets]:
        """Collate some labels into one batch."""
        chosen = [self.inputs[index] for index in indices]
        targets = [self.targets[index] for index in indices]
        n_atoms = torch.cat([one[keys.n_atoms] for one in chosen])
        first = torch.cumsum(n_atoms, 0) - n_atoms
        joined: Inputs = {
            key: torch.cat([one[key] for one in chosen])
            for key in (keys.Z, keys.R, keys.cell, keys.offsets)
        }
        joined[keys.n_atoms] = n_atoms
        joined[keys.idx_m] = torch.repeat_interleave(n_atoms)
        for key in (keys.idx_i, keys.idx_j):
            joined[key] = torch.cat(
                [one[key] + start for one, start in zip(chosen, first, strict=True)]
            )
        return joined, Targets.join(targets)


def training_set(
    labels: Sequence[Label], cutoff: float, energy_offset: float | None = None
) -> TrainingSet:
    """Prepare successful labels for training.

    Parameters
    ----------
    energy_offset : eV/atom that is taken out, since networks are fitted in
        float32; the mean over the labels if None
    """
    energies = np.array([label.energy for label in labels], dtype=float)
    atoms = np.array([len(label.crystal.numbers) for label in labels])
    offset = float(np.mean(energies / atoms)) if energy_offset is None else energy_offset
    return TrainingSet(
        inputs=tuple(crystal_inputs([label.crystal], cutoff) for label in labels),
        targets=tuple(
            Targets(
                energy=torch.tensor([energy - offset * count], dtype=torch.float32),
                forces=torch.tensor(label.forces, dtype=torch.float32),
                stress=torch.tensor([label.stress], dtype=torch.float32),
            )
            for label, energy, count in zip(labels, energies, atoms, strict=True)
        ),
        energy_offset=offset,
    )


def usable_labels(labels: Sequence[Label], config: TrainingConfig) -> list[Label]:
    """Successful labels without force and stress outliers.

    Leaves out labels whose largest force exceeds ``max_force`` and, when
    ``outlier_sigma`` is set, those whose largest force or stress component
    exceeds mean + σ·outlier_sigma over the remaining labels.
    """
    kept = [label for label in labels if learnable(label, config)]
    if config.outlier_sigma is None or not kept:
        return kept
    forces = np.array([_largest(label.forces) for label in kept])
    stresses = np.array([_largest(label.stress) for label in kept])
    inside = np.ones(len(kept), dtype=bool)
    for values in (forces, stresses):
        inside &= values <= values.mean() + config.outlier_sigma * values.std()
    return [label for label, keep in zip(kept, inside, strict=True) if keep]


def learnable(label: Label, config: TrainingConfig) -> bool:
    """Whether a label succeeded and no component of its forces exceeds ``max_force``."""
    return label.status is LabelStatus.OK and _largest(label.forces) <= config.max_force


def _largest(values: object) -> float:
    return float(np.abs(np.asarray(values, dtype=float)).max())
