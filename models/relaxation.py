"""Relaxing many candidates at once with the ensemble mean.

torch-sim moves atoms and cells (L-BFGS with a unit-cell filter, candidates
swapped in as others end); the stop rules of the search are its convergence
function.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pyrite.config import RelaxationConfig
from pyrite.documents import Crystal, StopReason
from pyrite.models.ensemble import Ensemble
from pyrite.models.ensemble_model import MEMORY_SCALES_WITH, EnsembleModel, Prediction
from pyrite.models.torchsim import ts

type Batcher = ts.InFlightAutoBatcher[ts.OptimState]

# eV/atom; what rests higher than this above a geometry on its way has left that one's basin.
_SAME_ENERGY = 1e-3


@dataclass(frozen=True)
class Relaxed:
    """Where the relaxation of one candidate ended, and why."""

    stop: StopReason
    steps: int
    crystal: Crystal
    prediction: Prediction
    ahead: "Relaxed | None" = None


def relax(
    crystals: Sequence[Crystal],
    ensemble: Ensemble,
    config: RelaxationConfig,
    mean_volume_per_atom: float,
    after_step: "AfterStep | None" = None,
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
    after_step
        called after every step of a batch with those that have ended, by their places in
        ``crystals``; an exception from there ends all relaxations
    """
    if not crystals:
        return []
    low, high = (factor * mean_volume_per_atom for factor in config.volume_per_atom_bounds)
    model = EnsembleModel(ensemble, config, (low, high))
    largest = max(len(crystal.numbers) for crystal in crystals)
    batcher: Batcher = ts.InFlightAutoBatcher(
        model,
        memory_scales_with=MEMORY_SCALES_WITH,
        max_memory_scaler=config.batch_size * largest,
    )
    state, predictions = _begin(crystals, model)
    model.names = lambda: getattr(batcher, "current_idx", ())  # set by its first batch
    starts = list(zip(crystals, predictions, strict=True))
    rules = StopRules(config, model, batcher, starts, after_step)
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
    return [rules.result(candidate) for candidate in range(len(crystals))]


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


AfterStep = Callable[[Sequence[tuple[int, Relaxed]]], None]


class StopRules:
    """torch-sim's convergence function: decides for each candidate in the batch,
    and remembers its geometry of lowest energy."""

    def __init__(
        self,
        config: RelaxationConfig,
        model: EnsembleModel,
        batcher: Batcher,
        starts: list[tuple[Crystal, Prediction]],
        after_step: AfterStep | None = None,
    ) -> None:
        self.config, self.model, self.batcher = config, model, batcher
        self.after_step = after_step
        self.steps = np.zeros(len(starts), dtype=int)
        self.waited = np.zeros(len(starts), dtype=int)
        limit = config.max_relative_uncertainty
        # An uncertain start is given up for whatever follows.
        self.lowest = [one.energy if one.uncertainty < limit else math.inf for _, one in starts]
        self.best = starts
        self.stops = [StopReason.MAX_STEPS] * len(starts)
        # Where candidates became uncertain that go on.
        self.doubted: dict[int, Relaxed] = {}

    def __call__(self, state: ts.OptimState, _last_energy: torch.Tensor) -> torch.Tensor:
        """Which systems of the batch end here, (B,) bool."""
        batch = list(self.batcher.current_idx)
        ended = [
            self._decide(candidate, system, state, fmax)
            for (system, candidate), fmax in zip(
                enumerate(batch), _largest_force(state).tolist(), strict=True
            )
        ]
        if self.after_step is not None:
            done = [one for one, has_ended in zip(batch, ended, strict=True) if has_ended]
            self.after_step([(one, self.result(one)) for one in done])
        return torch.tensor(ended, device=state.device)

    def result(self, candidate: int) -> Relaxed:
        """Where a candidate ended."""
        steps = int(self.steps[candidate])
        end = Relaxed(self.stops[candidate], steps, *self.best[candidate])
        if candidate not in self.doubted:
            return end
        return replace(self.doubted[candidate], steps=steps, ahead=None if end.stop.broken else end)

    def _decide(self, candidate: int, system: int, state: ts.OptimState, fmax: float) -> bool:
        self.steps[candidate] += 1
        now = self.model.latest.predictions[system]
        reason = self._reason(candidate, self.model.latest.broken[system], now, fmax)
        here = reason in (StopReason.UNCERTAIN, StopReason.CONVERGED)
        keep = here or now.energy <= self.lowest[candidate]
        if keep and (reason is None or not reason.broken):
            self.lowest[candidate] = min(now.energy, self.lowest[candidate])
            self.best[candidate] = _crystal(state, system), now
        if reason is StopReason.UNCERTAIN and self.config.look_ahead:
            steps = int(self.steps[candidate])
            self.doubted[candidate] = Relaxed(reason, steps, *self.best[candidate])
            self.lowest[candidate], self.waited[candidate] = now.energy, 0
            return False
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
        doubtful = now.uncertainty >= self.config.max_relative_uncertainty < math.inf
        if doubtful and candidate not in self.doubted:
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
