"""Relaxing many candidates at once with the ensemble mean.

torch-sim moves atoms and cells (L-BFGS with a unit-cell filter, candidates
swapped in as others end); the stop rules of the search are its convergence
function.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import schnetpack.properties as keys
import torch
import torch_sim as ts
from ase.data import covalent_radii
from torch_sim.models.interface import ModelInterface

from pyrite.config import RelaxationConfig
from pyrite.documents import Crystal, StopReason
from pyrite.models.dataset import Neighbors, crystal_inputs, network_inputs
from pyrite.models.ensemble import Ensemble, EnsembleOutput
from pyrite.models.neighbor_lists import NeighborLists

type Batcher = ts.InFlightAutoBatcher[ts.OptimState]

# torch-sim sizes a batch by memory; a candidate's share is its number of atoms.
_MEMORY_SCALES_WITH: Final = "n_atoms"
_MAX_PAIRS_PER_ATOM = 1500
# Å; a wider skin lasts longer but holds more pairs.
_SKIN = 0.5
# eV/atom; what rests higher than this above a geometry on its way has left that one's basin.
_SAME_ENERGY = 1e-3
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


@dataclass(frozen=True)
class Relaxed:
    """Where the relaxation of one candidate ended, and why."""

    stop: StopReason
    steps: int
    crystal: Crystal
    prediction: Prediction


def relax(
    crystals: Sequence[Crystal],
    ensemble: Ensemble,
    config: RelaxationConfig,
    mean_volume_per_atom: float,
) -> list[Relaxed]:
    """Relax cells and atoms until each candidate meets a stop rule.

    A candidate ends as converged when the largest force and the largest cell
    force (virial / N, as in ASE's UnitCellFilter) fall below ``fmax``; as
    uncertain when `relative_uncertainty` reaches its limit; as stalled when its
    energy has not fallen for ``patience`` steps, or when it comes to rest above
    a geometry that it has passed; or after ``max_steps``. Cells that explode,
    collapse or turn into NaN end as broken. A converged candidate is kept where
    it rests, an uncertain one where it became uncertain, since that label
    teaches most, and any other at its lowest energy.

    Parameters
    ----------
    mean_volume_per_atom : Å³/atom, the scale of ``volume_per_atom_bounds``
    """
    if not crystals:
        return []
    low, high = (factor * mean_volume_per_atom for factor in config.volume_per_atom_bounds)
    model = EnsembleModel(ensemble, config, (low, high))
    largest = max(len(crystal.numbers) for crystal in crystals)
    batcher: Batcher = ts.InFlightAutoBatcher(
        model,
        memory_scales_with=_MEMORY_SCALES_WITH,
        max_memory_scaler=config.batch_size * largest,
    )
    state, predictions = _begin(crystals, model)
    model.names = lambda: getattr(batcher, "current_idx", ())  # set by its first batch
    rules = StopRules(config, model, batcher, list(zip(crystals, predictions, strict=True)))
    ts.optimize(
        state,
        model,
        optimizer=ts.Optimizer.lbfgs,
        convergence_fn=rules,
        # The rules count steps themselves; torch-sim would end a step early.
        max_steps=config.max_steps + 2,
        steps_between_swaps=1,
        autobatcher=batcher,
    )
    return [
        Relaxed(stop, steps, *best)
        for stop, steps, best in zip(rules.stops, rules.steps.tolist(), rules.best, strict=True)
    ]


def _begin(
    crystals: Sequence[Crystal], model: "EnsembleModel"
) -> tuple[ts.OptimState, list[Prediction]]:
    """The optimizer's state at the start, and what the ensemble says of it."""
    states: list[ts.OptimState] = []
    predictions: list[Prediction] = []
    for first in range(0, len(crystals), model.config.batch_size):
        batch = crystals[first : first + model.config.batch_size]
        state = ts.initialize_state([one.to_atoms() for one in batch], model.device, model.dtype)
        states.append(ts.lbfgs_init(state, model, cell_filter=ts.CellFilter.unit))
        predictions += model.latest.predictions
    return ts.concatenate_states(states), predictions


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
        self._memory_scales_with = _MEMORY_SCALES_WITH
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


class StopRules:
    """torch-sim's convergence function: decides for each candidate in the batch,
    and remembers its geometry of lowest energy."""

    def __init__(
        self,
        config: RelaxationConfig,
        model: EnsembleModel,
        batcher: Batcher,
        starts: list[tuple[Crystal, Prediction]],
    ) -> None:
        self.config, self.model, self.batcher = config, model, batcher
        self.steps = np.zeros(len(starts), dtype=int)
        self.waited = np.zeros(len(starts), dtype=int)
        limit = config.max_relative_uncertainty
        # An uncertain start is given up for whatever follows.
        self.lowest = [one.energy if one.uncertainty < limit else math.inf for _, one in starts]
        self.best = starts
        self.stops = [StopReason.MAX_STEPS] * len(starts)

    def __call__(self, state: ts.OptimState, _last_energy: torch.Tensor) -> torch.Tensor:
        """Which systems of the batch end here, (B,) bool."""
        ended = [
            self._decide(candidate, system, state, fmax)
            for (system, candidate), fmax in zip(
                enumerate(self.batcher.current_idx), _largest_force(state).tolist(), strict=True
            )
        ]
        return torch.tensor(ended, device=state.device)

    def _decide(self, candidate: int, system: int, state: ts.OptimState, fmax: float) -> bool:
        self.steps[candidate] += 1
        now = self.model.latest.predictions[system]
        reason = self._reason(candidate, self.model.latest.broken[system], now, fmax)
        here = reason in (StopReason.UNCERTAIN, StopReason.CONVERGED)
        keep = here or now.energy <= self.lowest[candidate]
        if keep and (reason is None or not reason.broken):
            self.lowest[candidate] = min(now.energy, self.lowest[candidate])
            self.best[candidate] = _crystal(state, system), now
        if reason is not None:
            self.stops[candidate] = reason
            self.model.lists.forget(candidate)
        return reason is not None

    def _reason(
        self, candidate: int, broken: StopReason | None, now: Prediction, fmax: float
    ) -> StopReason | None:
        if broken is not None:
            return broken
        self.waited[candidate] = (
            0 if now.energy < self.lowest[candidate] else self.waited[candidate] + 1
        )
        if now.uncertainty >= self.config.max_relative_uncertainty:
            return StopReason.UNCERTAIN
        if fmax < self.config.fmax:
            above = now.energy - self.lowest[candidate]
            return StopReason.CONVERGED if above < _SAME_ENERGY else StopReason.STALLED
        if self.waited[candidate] >= self.config.patience:
            return StopReason.STALLED
        if self.steps[candidate] >= self.config.max_steps:
            return StopReason.MAX_STEPS
        return None


def _largest_force(state: ts.OptimState) -> torch.Tensor:
    """Largest of atomic forces and cell forces per system, (B,), eV/Å."""
    atoms = state.forces.norm(dim=1)
    largest: torch.Tensor = state.cell_forces.norm(dim=2).amax(1)
    return largest.scatter_reduce(0, state.system_idx, atoms, "amax", include_self=True)


def _crystal(state: ts.OptimState, system: int) -> Crystal:
    mine = state.system_idx == system
    return Crystal(
        numbers=state.atomic_numbers[mine].tolist(),
        positions=state.positions[mine].tolist(),
        cell=state.row_vector_cell[system].tolist(),
    )
