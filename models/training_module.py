"""Lightning's view of an ensemble in training: one loop, one optimizer for each member."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from schnetpack.model import NeuralNetworkPotential
from torch.utils.data import DataLoader, IterableDataset

from pyrite.config import TrainingConfig
from pyrite.models.dataset import Targets
from pyrite.models.joint import Batch, Predictions, PreparedLabels
from pyrite.models.seeds import stream

log = logging.getLogger(__name__)


def loss(prediction: Predictions, targets: Targets, config: TrainingConfig) -> torch.Tensor:
    """Weighted mean squared errors of energy, forces and stress, for each member: (M,)."""
    return (
        config.energy_weight * (prediction.energy - targets.energy).square().mean(1)
        + config.force_weight * (prediction.forces - targets.forces).square().mean((1, 2))
        + config.stress_weight * (prediction.stress - targets.stress).square().mean((1, 2, 3))
    )


@dataclass
class Progress:
    """Where the training of one member stands."""

    lowest: float = math.inf
    waited: int = 0
    epochs: int = 0
    active: bool = True
    best: dict[str, torch.Tensor] = field(default_factory=dict)


class EnsembleModule(lightning.LightningModule):
    """Networks that see the same batches, each with its own AdamW and learning rate.

    With the plateau schedule, the loss on held-out labels decides for each member
    by itself when the rate falls, which weights are kept and when it stops; a
    member that has stopped costs nothing more.

    Parameters
    ----------
    networks : one for each member
    labels : what they are fitted to
    fitted, held_out : indices of ``labels``
    key : of the random stream that shuffles the batches; epochs extend it
    fingerprint : of what the training depends on, kept in its checkpoints
    """

    def __init__(
        self,
        networks: Sequence[NeuralNetworkPotential],
        labels: PreparedLabels,
        fitted: Sequence[int],
        held_out: Sequence[int],
        training: TrainingConfig,
        *,
        warm: bool,
        seed: int,
        key: Sequence[str | int],
        fingerprint: str,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.networks = torch.nn.ModuleList(networks)
        self.labels, self.fitted, self.held_out = labels, fitted, held_out
        self.training_config = training
        self.learning_rate = training.warm_learning_rate if warm else training.learning_rate
        batches = math.ceil(len(fitted) / training.batch_size)
        updates = training.warm_updates if warm else training.updates
        self.epochs = max(1, updates // batches)
        self.total_updates = self.epochs * batches
        self.seed, self.key = seed, tuple(key)
        self.fingerprint = fingerprint
        self.progress = [Progress() for _ in networks]
        self._validation: list[torch.Tensor] = []

    @property
    def watches(self) -> bool:
        """Whether held-out labels steer the training."""
        # One-cycle ends where its schedule ends: watching it would only cost time.
        return self.training_config.schedule == "plateau" and bool(self.held_out)

    # -- batches -------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader[Batch]:
        """All fitted labels in the order of this epoch."""
        rng = stream(self.seed, *self.key, self.current_epoch)
        order = rng.permutation(self.fitted).tolist()
        return _loader(Batches(self.labels, order, self.training_config.batch_size))

    def val_dataloader(self) -> DataLoader[Batch]:
        """The held-out labels, if they are watched."""
        held_out = self.held_out if self.watches else ()
        return _loader(Batches(self.labels, held_out, self.training_config.batch_size))

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Labels were prepared where the networks are."""
        return batch

    # -- steps ---------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """A training that was killed after its last epoch has nothing left to do."""
        self.trainer.should_stop = not any(one.active for one in self.progress)

    def training_step(self, batch: Batch, _index: int) -> None:
        """One update of each member that still trains."""
        active = [m for m, one in enumerate(self.progress) if one.active]
        if not active:
            return
        prediction = batch.predict([self.networks[m] for m in active], create_graph=True)
        losses = loss(prediction, batch.targets, self.training_config)
        optimizers, schedulers = _listed(self.optimizers()), _listed(self.lr_schedulers())
        for member in active:
            self.progress[member].epochs = self.current_epoch + 1
            optimizers[member].zero_grad()
        # Members share no parameter: the sum gives each its own gradient.
        self.manual_backward(losses.sum())
        for member in active:
            torch.nn.utils.clip_grad_norm_(
                self.networks[member].parameters(), self.training_config.gradient_clip
            )
            optimizers[member].step()
            if self.training_config.schedule == "onecycle":
                schedulers[member].step()

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Losses of all members on some held-out labels."""
        prediction = batch.predict(list(self.networks), create_graph=False)
        losses = loss(prediction, batch.targets, self.training_config)
        self._validation.append(losses * len(batch.targets.energy))

    def on_validation_epoch_end(self) -> None:
        """Keep the best weights of each member, lower its rate, or stop it."""
        if not self._validation:
            return
        losses = (torch.stack(self._validation).sum(0) / len(self.held_out)).tolist()
        self._validation.clear()
        schedulers = _listed(self.lr_schedulers())
        for member, (one, value) in enumerate(zip(self.progress, losses, strict=True)):
            if not one.active:
                continue
            schedulers[member].step(value)
            if value < one.lowest:
                one.lowest, one.waited = value, 0
                weights = self.networks[member].state_dict()
                one.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
            else:
                one.waited += 1
                one.active = one.waited < self.training_config.early_stopping_patience
        self.trainer.should_stop = not any(one.active for one in self.progress)

    def on_fit_end(self) -> None:
        """Put the best weights back."""
        for network, one in zip(self.networks, self.progress, strict=True):
            if one.best:
                network.load_state_dict(one.best)

    # -- optimizers and checkpoints --------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """AdamW with the one-cycle or the plateau schedule, for each member."""
        config = self.training_config
        found = []
        for network in self.networks:
            optimizer = torch.optim.AdamW(
                network.parameters(),
                lr=self.learning_rate,
                weight_decay=config.weight_decay,
                fused=True,
            )
            scheduler: Any
            if config.schedule == "onecycle":
                steps = self.total_updates + 1
                scheduler = torch.optim.lr_scheduler.OneCycleLR(
                    optimizer,
                    max_lr=self.learning_rate,
                    total_steps=steps,
                    # One step of rise has no length, by which torch divides.
                    pct_start=max(0.1, 2 / steps),
                )
            else:
                scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
                    optimizer, factor=config.plateau_factor, patience=config.plateau_patience
                )
            found.append({"optimizer": optimizer, "lr_scheduler": scheduler})
        return found

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where each member stands, and of which training."""
        checkpoint["fingerprint"] = self.fingerprint
        checkpoint["progress"] = [vars(one) for one in self.progress]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        self.progress = [Progress(**one) for one in checkpoint["progress"]]


def _listed(found: Any) -> list[Any]:
    """Lightning gives a list for several, but the thing itself for one."""
    return found if isinstance(found, list) else [found]


class Batches(IterableDataset[Batch]):
    """Labels in a given order, some at a time."""

    def __init__(self, labels: PreparedLabels, order: Sequence[int], size: int) -> None:
        self.labels, self.order, self.size = labels, order, size

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.order), self.size):
            yield self.labels.batch(self.order[start : start + self.size])


def _loader(batches: Batches) -> DataLoader[Batch]:
    return DataLoader(batches, batch_size=None)


class EveryFewSeconds(Callback):
    """Something to do at the end of an epoch, when it is time.

    Parameters
    ----------
    seconds : since the last time, or the start
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Do it."""
        if time.monotonic() - self.last >= self.seconds:
            self.act(trainer)
            self.last = time.monotonic()

    def act(self, trainer: lightning.Trainer) -> None:
        """Log the epoch."""
        log.info("epoch %d of %s", trainer.current_epoch + 1, trainer.max_epochs)
