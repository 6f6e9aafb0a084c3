"""The ensemble mean as torch-sim and the stop rules see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import schnetpack.properties as keys
import torch
from ase.data import covalent_radii

from pyrite.config import RelaxationConfig
from pyrite.documents import Crystal, StopReason
from pyrite.models.dataset import Neighbors, crystal_inputs, network_inputs
from pyrite.models.ensemble import Ensemble, EnsembleOutput
from pyrite.models.neighbor_lists import NeighborLists
from pyrite.models.torchsim import ModelInterface, ts

# torch-sim sizes a batch by memory; a candidate's share is its number of atoms.
MEMORY_SCALES_WITH: Final = "n_atoms"
_MAX_PAIRS_PER_ATOM = 1500
# Å; a wider skin lasts longer but holds more pairs.
_SKIN = 0.5
_NOTHING = Neighbors(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)))


@dataclass(frozen=True)
class Prediction:
    """The ensemble's view of one crystal: energies in eV/atom, ``fmax`` and
    forces in eV/Å, ``descriptor`` (f,)."""

    energy: float
    energy_spread: float
    fmax: float
    uncertainty: float
    descriptor: tuple[float, ...]


def predict(
    crystals: Sequence[Crystal], ensemble: Ensemble, config: RelaxationConfig
) -> list[Prediction]:
    """What the ensemble says of crystals as they are."""
    predictions: list[Prediction] = []
    for start in range(0, len(crystals), config.batch_size):
        batch = crystals[start : start + config.batch_size]
        inputs = crystal_inputs(batch, ensemble.cutoff, ensemble.dtype)
        predictions += _predictions(
            ensemble.evaluate(inputs),
            inputs[keys.n_atoms].to(ensemble.device),
            inputs[keys.idx_m].to(ensemble.device),
            config.uncertainty_floor,
        )
    return predictions


def _predictions(
    output: EnsembleOutput, n_atoms: torch.Tensor, system: torch.Tensor, floor: float
) -> list[Prediction]:
    energy = output.energy.double() / n_atoms
    uncertainty, fmax = relative_uncertainty(output.forces, system, len(n_atoms), floor)
    columns = (energy.mean(0), energy.std(0, correction=0), fmax, uncertainty, output.descriptor)
    return [
        Prediction(e, spread, f, relative, tuple(descriptor))
        for e, spread, f, relative, descriptor in zip(*(c.tolist() for c in columns), strict=True)
    ]


def relative_uncertainty(
    forces: torch.Tensor, system: torch.Tensor, n_systems: int, floor: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """max|σ_F| / max(max|F̄|, floor) and max‖F̄_i‖₂ per crystal.

    The mean force vanishes at a minimum, where every finite spread would count
    as infinitely uncertain; the floor (eV/Å) is the force below which only the
    absolute spread matters.

    Parameters
    ----------
    forces : (M, N, 3), eV/Å
    system : (N,) crystal of each atom

    Returns
    -------
    uncertainty : (B,)
    fmax : (B,), eV/Å
    """
    mean, spread = forces.mean(0), forces.std(0, correction=0)

    def largest(per_atom: torch.Tensor) -> torch.Tensor:
        start = per_atom.new_zeros(n_systems)
        return start.scatter_reduce(0, system, per_atom, "amax", include_self=True)

    component = largest(mean.abs().amax(1)).clamp(min=floor)
    return largest(spread.abs().amax(1)) / component, largest(mean.norm(dim=1))


class EnsembleModel(ModelInterface):
    """The ensemble mean as a torch-sim model.

    ``latest`` keeps what the stop rules need of the last evaluation, in the
    order of its systems: torch-sim's own extras mix up per-atom and per-system
    values when every cell has one atom. ``names`` tells whose systems are in the
    batch, so that their neighbour lists can be kept from step to step.
    """

    def __init__(
        self, ensemble: Ensemble, config: RelaxationConfig, volume_bounds: tuple[float, float]
    ) -> None:
        super().__init__()
        self._device = ensemble.device
        # Geometry in double precision, so that cells and positions do not drift.
        self._dtype = torch.float64
        self._compute_stress = True
        self._compute_forces = True
        self._memory_scales_with = MEMORY_SCALES_WITH
        self.ensemble = ensemble
        self.config = config
        self.volume_bounds = volume_bounds
        self.latest = Latest([], [])
        self.lists = NeighborLists(ensemble.cutoff, _SKIN)
        self.names: Callable[[], Sequence[int]] | None = None
        self._answered: tuple[tuple[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]] | None = (
            None
        )

    def forward(self, state: ts.SimState, **_: object) -> dict[str, torch.Tensor]:
        """Mean energy (B,), forces (N, 3) and stress (B, 3, 3) of the intact systems.

        Broken systems get zero forces; `latest` names them. They are evaluated as
        atoms without neighbours, since their lists may have no end.
        """
        cell = state.row_vector_cell
        # torch-sim asks twice about the geometry that it starts from.
        asked = self._answered is not None and all(
            torch.equal(now, then)
            for now, then in zip((state.positions, cell), self._answered[0], strict=True)
        )
        if self._answered is None or not asked:
            geometry = (state.positions.clone(), cell.clone())
            self._answered = geometry, self._evaluate(state, cell)
        return dict(self._answered[1])

    def _evaluate(self, state: ts.SimState, cell: torch.Tensor) -> dict[str, torch.Tensor]:
        n_systems = len(cell)
        n_atoms = state.n_atoms_per_system.long()
        system = state.system_idx.long()
        broken, edges = self._inspect(state.positions, cell, n_atoms, state.atomic_numbers)
        inputs = network_inputs(
            state.atomic_numbers.long(),
            state.positions,
            cell,
            n_atoms,
            edges,
            self.ensemble.dtype,
        )
        for key in (keys.R, keys.cell):
            inputs[key] = torch.nan_to_num(inputs[key])
        output = self.ensemble.evaluate(inputs)
        mean_energy = output.energy.double().mean(0)
        mean_forces = output.forces.double().mean(0)
        mean_stress = output.stress.double().mean(0)
        for k in range(n_systems):
            if broken[k] is None and not bool(torch.isfinite(mean_energy[k])):
                broken[k] = StopReason.NOT_A_NUMBER
        intact = torch.tensor([reason is None for reason in broken], device=self.device)
        floor = self.config.uncertainty_floor
        self.latest = Latest(broken, _predictions(output, n_atoms, system, floor))
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        return {
            "energy": torch.where(intact, mean_energy, zero),
            "forces": torch.where(intact[system][:, None], mean_forces, zero),
            "stress": torch.where(intact[:, None, None], mean_stress, zero),
        }

    def _inspect(
        self,
        positions: torch.Tensor,
        cell: torch.Tensor,
        n_atoms: torch.Tensor,
        numbers: torch.Tensor,
    ) -> tuple[list[StopReason | None], list[Neighbors]]:
        cells = cell.detach().cpu().numpy()
        ends = np.cumsum(n_atoms.cpu().numpy())[:-1]
        coordinates = np.split(positions.detach().cpu().numpy(), ends)
        radii = np.split(covalent_radii[numbers.cpu().numpy()], ends)
        names = self.names() if self.names is not None else ()
        # Before the first step nobody is in a batch.
        known = list(names) if len(names) == len(cells) else [None] * len(cells)
        broken: list[StopReason | None] = []
        edges: list[Neighbors] = []
        for name, h, r, radius in zip(known, cells, coordinates, radii, strict=True):
            reason = self._volume_verdict(h, r)
            found = _NOTHING
            if reason is None:
                found, distances = self.lists.find(name, r, h)
                closest = self.config.minimum_distance * (radius[found.i] + radius[found.j])
                too_dense = len(found.i) > _MAX_PAIRS_PER_ATOM * len(r)
                if too_dense or (distances < closest).any():
                    reason = StopReason.COLLAPSED
            broken.append(reason)
            edges.append(found if reason is None else _NOTHING)
        return broken, edges

    def _volume_verdict(self, cell: np.ndarray, positions: np.ndarray) -> StopReason | None:
        if not (np.isfinite(cell).all() and np.isfinite(positions).all()):
            return StopReason.NOT_A_NUMBER
        # Rows are the vectors b × c, c × a, a × b of the reciprocal cell times the volume.
        faces = np.cross(np.roll(cell, -1, axis=0), np.roll(cell, -2, axis=0))
        volume = abs(cell[0] @ faces[0])
        per_atom = volume / len(positions)
        if per_atom < self.volume_bounds[0]:
            return StopReason.COLLAPSED
        if per_atom > self.volume_bounds[1]:
            return StopReason.EXPLODED
        # A sheared needle has a harmless volume and an endless neighbour list.
        height = volume / np.linalg.norm(faces, axis=1).max()
        return StopReason.COLLAPSED if height < 0.25 * per_atom ** (1 / 3) else None


@dataclass(frozen=True)
class Latest:
    """Per-system facts of the last evaluation."""

    broken: list[StopReason | None]
    predictions: list[Prediction]
