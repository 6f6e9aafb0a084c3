"""Fitting the members of the ensemble to all labels so far."""

import contextlib
import copy
import hashlib
import logging
import math
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from safetensors import SafetensorError
from schnetpack.model import NeuralNetworkPotential

from pyrite import __version__
from pyrite.config import SearchConfig
from pyrite.documents import Label
from pyrite.errors import SearchFailed
from pyrite.models.checkpoints import PlainCheckpointIO, decode
from pyrite.models.dataset import TrainingSet, training_set, usable_labels
from pyrite.models.joint import PreparedLabels, prepare
from pyrite.models.networks import (
    build_network,
    choose_device,
    get_energy_offset,
    save_network,
    set_energy_offset,
)
from pyrite.models.seeds import integer_seed, stream
from pyrite.models.training_module import EnsembleModule, EveryFewSeconds
from pyrite.models.walltime import OutOfTime

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


class Checkpoint(Protocol):
    """Where an unfinished training is kept for whoever goes on with it."""

    def load(self) -> bytes | None:
        """What was saved last, if anything."""

    def save(self, content: bytes) -> None:
        """Replace what was saved."""

    def require_time(self) -> None:
        """Raise `OutOfTime` if there is none for another epoch."""


def train_members(
    config: SearchConfig,
    labels: Sequence[Label],
    iteration: int,
    members: Sequence[int],
    inherited: Mapping[int, NeuralNetworkPotential] | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Trained]:
    """Fit some members of the ensemble to all labels so far, together.

    Members see the same batches and hold out the same labels; they differ in
    their initial weights, which are drawn from streams keyed by iteration and
    member.

    Parameters
    ----------
    inherited : networks of the last iteration by member, for a warm start
    checkpoint : where to go on from, and what to save every
        ``execution.checkpoint_seconds``; a training that goes on ends with the
        same weights as one that was never interrupted

    Raises
    ------
    SearchFailed
        If fewer than two labels are usable, or the loss is not finite.
    OutOfTime
        When the checkpoint's keeper says so; the training was saved before.
    """
    started = time.perf_counter()
    usable = usable_labels(labels, config.training)
    if len(usable) < MIN_LABELS:
        raise SearchFailed(
            f"only {len(usable)} of {len(labels)} labels can be trained on: check the "
            "reference engine, or start a search of another name with a larger "
            "training.max_force or more selection.first_labels"
        )
    warm = bool(inherited) and config.training.warm_start
    networks, data = _start(config, usable, iteration, members, inherited if warm else None)
    device = choose_device(config.surrogate.device)
    for network in networks:
        network.to(device)
    fingerprint = _fingerprint(config, usable, members, networks)
    prepared = prepare(data, networks[0], device, config.training.batch_size)
    fitted, held_out = _split(usable, config)
    module = EnsembleModule(
        networks,
        prepared,
        fitted,
        held_out,
        config.training,
        warm=warm,
        seed=config.seed,
        key=("batches", iteration),
        fingerprint=fingerprint,
    )
    _fit(module, device, checkpoint, config.execution.checkpoint_seconds)
    errors = evaluate(
        networks, prepared, held_out or list(range(len(data))), config.training.batch_size
    )
    for member, one in zip(members, errors, strict=True):
        if not all(map(math.isfinite, (one.energy, one.forces, one.stress))):
            raise SearchFailed(
                f"training of member {member} diverged in iteration {iteration}: start a search "
                "of another name with a smaller training.learning_rate or training.max_force"
            )
    return [
        Trained(
            network=network,
            labels=len(usable),
            left_out=len(labels) - len(usable),
            epochs=progress.epochs,
            seconds=(time.perf_counter() - started) / len(members),
            errors=error,
        )
        for network, progress, error in zip(networks, module.progress, errors, strict=True)
    ]


def _start(
    config: SearchConfig,
    usable: Sequence[Label],
    iteration: int,
    members: Sequence[int],
    inherited: Mapping[int, NeuralNetworkPotential] | None,
) -> tuple[list[NeuralNetworkPotential], TrainingSet]:
    if inherited:
        # The old offset stays, or the inherited weights would begin with an error. All
        # members of an ensemble have the same, since they were fitted to the same labels.
        networks = [copy.deepcopy(inherited[member]) for member in members]
        offset = get_energy_offset(networks[0])
        return networks, training_set(usable, config.surrogate.cutoff, offset)
    data = training_set(usable, config.surrogate.cutoff)
    networks = [
        build_network(config.surrogate, integer_seed(config.seed, "weights", iteration, member))
        for member in members
    ]
    for network in networks:
        set_energy_offset(network, data.energy_offset)
    return networks, data


def evaluate(
    networks: Sequence[NeuralNetworkPotential],
    labels: PreparedLabels,
    indices: Sequence[int],
    batch_size: int,
) -> list[Errors]:
    """Mean absolute errors of each network on some of the labels."""
    sums, counts = np.zeros((len(networks), 3)), np.zeros(3)
    for start in range(0, len(indices), batch_size):
        batch = labels.batch(indices[start : start + batch_size])
        found = batch.predict(networks, create_graph=False)
        energy = (found.energy - batch.targets.energy) / batch.n_atoms
        forces = found.forces - batch.targets.forces
        stress = found.stress - batch.targets.stress
        for k, error in enumerate((energy, forces, stress)):
            sums[:, k] += error.abs().flatten(1).sum(1).cpu().numpy()
            counts[k] += error[0].numel()
    return [Errors(*row) for row in (sums / counts).tolist()]


def _split(labels: Sequence[Label], config: SearchConfig) -> tuple[list[int], list[int]]:
    """Indices of the labels to fit and of those held out, at least one of each.

    A label draws for itself and once for all: a warm start must not have seen it.
    """
    share = config.training.validation_share
    draws = [
        stream(config.seed, "held out", one.iteration, one.candidate_id).random() for one in labels
    ]
    order = np.argsort(draws).tolist()
    held_out = sum(draw < share for draw in draws)
    held_out = min(max(held_out, 1), len(labels) - 1) if share else 0
    return sorted(order[held_out:]), sorted(order[:held_out])


def _fingerprint(
    config: SearchConfig,
    labels: Sequence[Label],
    members: Sequence[int],
    networks: Sequence[NeuralNetworkPotential],
) -> str:
    """Of all that decides the course of a training, before it begins."""
    digest = hashlib.sha256(f"{__version__} {list(members)}".encode())
    digest.update(config.model_dump_json(include={"seed", "surrogate", "training"}).encode())
    taught = {"iteration", "candidate_id", "crystal", "energy", "forces", "stress"}
    for one in labels:
        digest.update(one.model_dump_json(include=taught).encode())
    for network in networks:
        digest.update(save_network(network, config.surrogate))
    return digest.hexdigest()


def _fit(
    module: EnsembleModule,
    device: torch.device,
    checkpoint: Checkpoint | None,
    checkpoint_seconds: float,
) -> None:
    module.train()  # Lightning keeps the mode it finds
    with tempfile.TemporaryDirectory() as directory, _silent_lightning():
        file = Path(directory) / "training.safetensors"
        found = checkpoint.load() if checkpoint else None
        if found is not None and _belongs(found, module.fingerprint):
            file.write_bytes(found)
        callbacks: list[EveryFewSeconds] = [EveryFewSeconds(10.0)]
        if checkpoint is not None:
            callbacks.append(SaveCheckpoint(checkpoint, file, checkpoint_seconds))
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=module.epochs,
            limit_val_batches=None if module.watches else 0,
            callbacks=list(callbacks),
            # Each epoch has its own order of labels.
            reload_dataloaders_every_n_epochs=1,
            # Forces are a derivative inside forward, which inference mode forbids.
            inference_mode=False,
            # A part is one process wherever it runs: no ranks and no requeueing by Lightning.
            plugins=[LightningEnvironment(), PlainCheckpointIO()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(module, ckpt_path=file if file.exists() else None)
        except SIGTERMException:
            # Lightning has caught a signal that was meant to end this process, not this fit.
            signal.raise_signal(signal.SIGTERM)
            raise
    module.to(device)


def _belongs(content: bytes, fingerprint: str) -> bool:
    """Whether a saved state is of this training; if not, or if it is damaged, begin anew."""
    try:
        return bool(decode(content)["fingerprint"] == fingerprint)
    except (KeyError, ValueError, SafetensorError):
        return False


class SaveCheckpoint(EveryFewSeconds):
    """Hand an unfinished training to whoever keeps it."""

    def __init__(self, checkpoint: Checkpoint, file: Path, seconds: float) -> None:
        super().__init__(seconds)
        self.checkpoint, self.file = checkpoint, file

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save now and then, and when there is no time for another epoch."""
        try:
            if trainer.current_epoch + 1 < (trainer.max_epochs or 0):
                self.checkpoint.require_time()
        except OutOfTime:
            self.act(trainer)
            raise
        super().on_train_epoch_end(trainer, pl_module)

    def act(self, trainer: lightning.Trainer) -> None:
        """Save the state at the end of this epoch."""
        trainer.save_checkpoint(self.file)
        self.checkpoint.save(self.file.read_bytes())


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
