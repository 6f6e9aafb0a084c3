"""Fitting one member of the ensemble with Lightning."""

import contextlib
import copy
import logging
import math
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import schnetpack.properties as keys
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from schnetpack.model import NeuralNetworkPotential
from torch.utils.data import DataLoader, IterableDataset

from pyrite.config import SearchConfig, TrainingConfig
from pyrite.documents import Label
from pyrite.errors import SearchFailed
from pyrite.models.dataset import Inputs, Targets, TrainingSet, training_set, usable_labels
from pyrite.models.ensemble import (
    build_network,
    choose_device,
    get_energy_offset,
    set_energy_offset,
)
from pyrite.models.seeds import integer_seed, stream

log = logging.getLogger(__name__)

VALIDATION_LOSS = "validation_loss"
MIN_LABELS = 2


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors: energy eV/atom, forces eV/Å, stress eV/Å³."""

    energy: float
    forces: float
    stress: float


@dataclass(frozen=True)
class Trained:
    """A fitted network and how well it does on labels it did not see (on all of
    them where none was held out)."""

    network: NeuralNetworkPotential
    labels: int
    left_out: int
    epochs: int
    seconds: float
    errors: Errors


def train_member(
    config: SearchConfig,
    labels: Sequence[Label],
    iteration: int,
    member: int,
    inherited: NeuralNetworkPotential | None = None,
) -> Trained:
    """Fit one network to all labels so far.

    Members differ in their initial weights, their held-out labels and the order
    of their batches, all drawn from streams keyed by iteration and member.

    Parameters
    ----------
    inherited : the same member of the last iteration, for a warm start

    Raises
    ------
    SearchFailed
        If fewer than two labels are usable, or the loss is not finite.
    """
    started = time.perf_counter()
    usable = usable_labels(labels, config.training)
    if len(usable) < MIN_LABELS:
        raise SearchFailed(
            f"only {len(usable)} of {len(labels)} labels can be trained on: check the "
            "reference engine, or start a search of another name with a larger "
            "training.max_force or more selection.first_labels"
        )
    warm = inherited is not None and config.training.warm_start
    if inherited is not None and warm:
        # The old offset stays, or the inherited weights would begin with an error.
        network = copy.deepcopy(inherited)
        data = training_set(usable, config.surrogate.cutoff, get_energy_offset(network))
    else:
        seed = integer_seed(config.seed, "weights", iteration, member)
        network = build_network(config.surrogate, seed)
        data = training_set(usable, config.surrogate.cutoff)
        set_energy_offset(network, data.energy_offset)
    rng = stream(config.seed, "training", iteration, member)
    fitted, held_out = _split(len(data), config.training.validation_share, rng)
    epochs = _fit(network, data, fitted, held_out, config, warm=warm, rng=rng)
    errors = evaluate(network, data, held_out or fitted, config.training.batch_size)
    if not all(map(math.isfinite, (errors.energy, errors.forces, errors.stress))):
        raise SearchFailed(
            f"training of member {member} diverged in iteration {iteration}: start a search "
            "of another name with a smaller training.learning_rate or training.max_force"
        )
    return Trained(
        network=network,
        labels=len(usable),
        left_out=len(labels) - len(usable),
        epochs=epochs,
        seconds=time.perf_counter() - started,
        errors=errors,
    )


def loss(prediction: Inputs, targets: Targets, config: TrainingConfig) -> torch.Tensor:
    """Weighted mean squared errors of energy, forces and stress."""
    terms = (
        (config.energy_weight, prediction[keys.energy] - targets.energy),
        (config.force_weight, prediction[keys.forces] - targets.forces),
        (config.stress_weight, prediction[keys.stress] - targets.stress),
    )
    return torch.stack([weight * error.square().mean() for weight, error in terms]).sum()


def evaluate(
    network: NeuralNetworkPotential, data: TrainingSet, indices: Sequence[int], batch_size: int
) -> Errors:
    """Mean absolute errors of a network on some of the labels."""
    device = next(network.parameters()).device
    network.eval()
    network.do_postprocessing = False
    sums, counts = np.zeros(3), np.zeros(3)
    for inputs, targets in data.batches(indices, batch_size):
        output = network({key: value.to(device) for key, value in inputs.items()})
        energy = (output[keys.energy].detach().cpu() - targets.energy) / inputs[keys.n_atoms]
        forces = output[keys.forces].detach().cpu() - targets.forces
        stress = output[keys.stress].detach().cpu() - targets.stress
        for k, error in enumerate((energy, forces, stress)):
            sums[k] += float(error.abs().sum())
            counts[k] += error.numel()
    network.do_postprocessing = True
    return Errors(*(sums / counts).tolist())


def _split(
    count: int, validation_share: float, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    order = rng.permutation(count).tolist()
    held_out = min(math.ceil(validation_share * count), count - 1) if validation_share else 0
    return order[held_out:], order[:held_out]


def _fit(
    network: NeuralNetworkPotential,
    data: TrainingSet,
    fitted: list[int],
    held_out: list[int],
    config: SearchConfig,
    *,
    warm: bool,
    rng: np.random.Generator,
) -> int:
    training = config.training
    updates = training.warm_updates if warm else training.updates
    epochs = max(1, updates // math.ceil(len(fitted) / training.batch_size))
    # Lightning keeps the mode it finds, and forces in evaluation mode have no graph.
    network.train()
    module = MemberModule(network, training, warm=warm, epochs=epochs, fitted=len(fitted))
    callbacks: list[Callback] = [Progress()]
    # One-cycle ends where its schedule ends: watching it would only cost time.
    watched = held_out and training.schedule == "plateau"
    if watched:
        callbacks += [
            EarlyStopping(VALIDATION_LOSS, patience=training.early_stopping_patience),
            BestWeights(),
        ]
    shuffled = _loader(Batches(data, fitted, training.batch_size, rng))
    unseen = _loader(Batches(data, held_out, training.batch_size, None)) if watched else None
    with _silent_lightning():
        trainer = lightning.Trainer(
            accelerator="gpu" if choose_device(config.surrogate.device).type == "cuda" else "cpu",
            devices=1,
            max_epochs=epochs,
            gradient_clip_val=training.gradient_clip,
            callbacks=callbacks,
            # Forces are a derivative inside forward, which inference mode forbids.
            inference_mode=False,
            # A member is one process wherever it runs: no ranks and no requeueing by Lightning.
            plugins=[LightningEnvironment()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            barebones=False,
        )
        try:
            trainer.fit(module, shuffled, unseen)
        except SIGTERMException:
            # Lightning has caught a signal that was meant to end this process, not this fit.
            signal.raise_signal(signal.SIGTERM)
            raise
    return int(trainer.current_epoch)


@contextlib.contextmanager
def _silent_lightning() -> Iterator[None]:
    """Lightning greets, advertises and warns about loader workers; a task's log is ours."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric|torch")
            yield
    finally:
        logger.setLevel(level)


class Batches(IterableDataset[tuple[Inputs, Targets]]):
    """Ready-made batches, shuffled anew each epoch where a generator is given."""

    def __init__(
        self,
        data: TrainingSet,
        indices: list[int],
        size: int,
        rng: np.random.Generator | None,
    ) -> None:
        self.data, self.indices, self.size, self.rng = data, indices, size, rng

    def __len__(self) -> int:
        return math.ceil(len(self.indices) / self.size)

    def __iter__(self) -> Iterator[tuple[Inputs, Targets]]:
        order = self.indices
        if self.rng is not None:
            order = self.rng.permutation(self.indices).tolist()
        return self.data.batches(order, self.size)


def _loader(batches: Batches) -> DataLoader[tuple[Inputs, Targets]]:
    return DataLoader(batches, batch_size=None)


class MemberModule(lightning.LightningModule):
    """One network with the search's loss, AdamW and learning-rate schedule."""

    def __init__(
        self,
        network: NeuralNetworkPotential,
        training: TrainingConfig,
        *,
        warm: bool,
        epochs: int,
        fitted: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.training_config = training
        self.learning_rate = training.warm_learning_rate if warm else training.learning_rate
        self.total_updates = epochs * math.ceil(fitted / training.batch_size)

    def on_fit_start(self) -> None:
        """Targets have no offset, so the network must not add one."""
        self.network.do_postprocessing = False

    def on_fit_end(self) -> None:
        """Give the offset back."""
        self.network.do_postprocessing = True

    def transfer_batch_to_device(
        self, batch: tuple[Inputs, Targets], device: torch.device, dataloader_idx: int
    ) -> tuple[Inputs, Targets]:
        """Move a batch; `Targets` is not a collection that Lightning knows."""
        inputs, targets = batch
        return {key: value.to(device) for key, value in inputs.items()}, Targets(
            targets.energy.to(device), targets.forces.to(device), targets.stress.to(device)
        )

    def training_step(self, batch: tuple[Inputs, Targets], _index: int) -> torch.Tensor:
        """Loss of one batch."""
        inputs, targets = batch
        return loss(self.network(dict(inputs)), targets, self.training_config)

    def validation_step(self, batch: tuple[Inputs, Targets], _index: int) -> None:
        """Loss of one held-out batch."""
        inputs, targets = batch
        with torch.enable_grad():
            value = loss(self.network(dict(inputs)), targets, self.training_config)
        self.log(VALIDATION_LOSS, value.detach(), batch_size=len(targets.energy))

    def configure_optimizers(self) -> Any:
        """AdamW with the one-cycle or the plateau schedule."""
        config = self.training_config
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.learning_rate, weight_decay=config.weight_decay
        )
        if config.schedule == "onecycle":
            schedule = {
                "scheduler": torch.optim.lr_scheduler.OneCycleLR(
                    optimizer,
                    max_lr=self.learning_rate,
                    total_steps=self.total_updates + 1,
                    pct_start=0.1,
                ),
                "interval": "step",
            }
        else:
            schedule = {
                "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(
                    optimizer, factor=config.plateau_factor, patience=config.plateau_patience
                ),
                "monitor": VALIDATION_LOSS,
            }
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class BestWeights(Callback):
    """Keep the weights with the lowest validation loss and restore them at the end."""

    def __init__(self) -> None:
        self.lowest = math.inf
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Copy the weights if they are the best so far."""
        value = float(trainer.callback_metrics[VALIDATION_LOSS])
        if value < self.lowest:
            self.lowest = value
            self.weights = {
                name: tensor.detach().clone()
                for name, tensor in pl_module.network.state_dict().items()
            }

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Put the best weights back."""
        if self.weights:
            pl_module.network.load_state_dict(self.weights)


class Progress(Callback):
    """A log line every few seconds."""

    def __init__(self, every_seconds: float = 10.0) -> None:
        self.every_seconds = every_seconds
        self.last = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Log the epoch when it is time."""
        if time.monotonic() - self.last > self.every_seconds:
            self.last = time.monotonic()
            log.info("epoch %d of %s", trainer.current_epoch + 1, trainer.max_epochs)
