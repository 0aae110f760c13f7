"""Training on chips: AdamW, cosine schedule, focal loss; resuming gives the same weights."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lulcmap.dataset import set_members
from lulcmap.errors import ModelError, OutputError, UsageError
from lulcmap.evaluation import accuracy, iou, mean_f1, mean_iou
from lulcmap.geo import Lattice
from lulcmap.training.batch_norm import measure_statistics
from lulcmap.training.batches import Batch, batches, steps_per_epoch
from lulcmap.training.checkpoint import (
    json_values,
    lattice_of,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
)
from lulcmap.training.chips import Samples
from lulcmap.training.deployable import DeployableNetwork, Normalisation
from lulcmap.training.distributed import ProcessGroup, find_device, run_processes
from lulcmap.training.folder import BEST_CHECKPOINT, CHECKPOINT, check_folder
from lulcmap.training.histograms import (
    Histograms,
    class_weights_of,
    histograms_of,
    normalisation_of,
)
from lulcmap.training.initial import TrainedNetwork
from lulcmap.training.log import Epoch, TrainingLog
from lulcmap.training.loss import SetWeights, Target, focal_loss, pixel_weights, upsample_logits
from lulcmap.training.networks import NetworkConfig, build_network
from lulcmap.training.resume import check_same_training
from lulcmap.training.settings import Hardware, TrainingSettings, learning_rate
from lulcmap.training.tiled import measure

LandKind = Literal["simulated", "real"]
"""The land a network was trained on."""

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Type of the arithmetic, by precision."""


def train_network(
    samples: Samples,
    folder: Path,
    *,
    config: NetworkConfig,
    settings: TrainingSettings,
    trained_on: LandKind,
    source: str = "",
    validation: Samples | None = None,
    init: TrainedNetwork | None = None,
    hardware: Hardware = Hardware(),  # noqa: B008  # it is frozen
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a network, or resume a training that was interrupted.

    On a CPU, with the same number of threads, a resumed training gives the same weights, bit for
    bit, as one that was never interrupted.

    Args:
        samples: chips to train on.
        folder: folder for the checkpoints and the log; created if missing.
        config: shape of the network.
        settings: settings of the training.
        trained_on: kind of land the chips show.
        source: what the chips are and where they come from, a sentence for the model card.
        validation: chips to measure the averaged weights on after each epoch.
        init: network to start from; None draws random weights. Classes keep the weights of its
            classes of the same name. Its normalisation is kept, if it has one.
        hardware: devices and threads to use. With several devices, ``on_epoch`` and ``on_step``
            must be module-level functions.
        on_epoch: called with each finished epoch.
        on_step: called with the number of finished steps of an epoch, and of all its steps.

    Returns:
        The path of the best epoch's checkpoint, or of the last one's without ``validation``. Its
        ``weights`` are the average over the training.

    Raises:
        UsageError: the folder holds a training with other settings, other chips, another network
            or another start, or the chips, settings, hardware and ``init`` do not fit together.
        OutputError: the folder cannot be written to, or holds other files of the same names.
        DeviceError: the device is not available.
        ModelError: the loss is not finite, or the folder's checkpoint cannot be read.

    """
    device = find_device(hardware.device)
    _check_fit(samples, config, settings, hardware, device)
    if init is not None:
        init.check_fits(config)
    if settings.patience is not None and validation is None:
        raise UsageError(
            "--patience needs validation chips, but the dataset has none. Leave it out."
        )
    check_folder(folder)
    with _explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    origin = {
        "knows": trained_on,
        "classes": [[cover.name, cover.colour] for cover in samples.classes],
        **({} if init is None or init.window is None else {"window": init.window}),
        "training": {
            "source": source,
            "chips": len(samples),
            "digest": samples.digest,
            **({} if init is None else {"init": init.origin()}),
            "validated_on": None if validation is None else validation.digest,
            "crop": settings.crop,
            "torch": str(torch.__version__),  # a subclass that would not load again
        },
    }
    run_processes(
        _train,
        *(samples, validation, folder, config, settings, hardware, origin, init, on_epoch, on_step),
        device=device,
        devices=hardware.devices,
    )
    return folder / (CHECKPOINT if validation is None else BEST_CHECKPOINT)


def _check_fit(
    samples: Samples,
    config: NetworkConfig,
    settings: TrainingSettings,
    hardware: Hardware,
    device: torch.device,
) -> None:
    """Check that the network fits the chips, and that a step can be split over the devices."""
    if not len(samples):
        raise UsageError("No chips to train on. Check the dataset's splits.")
    if config.classes != len(samples.classes):
        raise UsageError(
            f"The network has {config.classes} classes, but the chips have {len(samples.classes)}."
        )
    shares = hardware.devices * hardware.parts
    if settings.batch % shares or min(settings.batch, len(samples)) < shares:
        raise UsageError(
            f"A step of {settings.batch} samples (of {len(samples)}) cannot be split over "
            f"{hardware.devices} devices in {hardware.parts} parts each. Give a --batch-size that "
            "is a multiple of both, and enough chips."
        )
    if settings.precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 needs a GPU. Give --precision fp32 or bf16.")


def _train(
    group: ProcessGroup,
    samples: Samples,
    validation: Samples | None,
    folder: Path,
    config: NetworkConfig,
    settings: TrainingSettings,
    hardware: Hardware,
    origin: Mapping[str, Any],
    init: TrainedNetwork | None,
    on_epoch: Callable[[Epoch], None] | None,
    on_step: Callable[[int, int], None] | None,
) -> None:
    """Train in one process; the first process writes the files and reports progress."""
    path = folder / CHECKPOINT
    if path.exists():
        state = _TrainingState.resume(path, config, settings, origin, group)
    else:
        state = _TrainingState.start(
            samples, config, settings, group, workers=hardware.workers, init=init
        )
    state.use_sets(samples)
    is_first = group.rank == 0
    with _explain_os_errors(folder):
        log = TrainingLog(folder, done=state.done) if is_first else None
    lattice = lattice_of(origin)
    try:
        for number in range(state.done, settings.epochs):
            if state.has_stalled():
                break
            began = time.perf_counter()
            loss = state.epoch(samples, number, hardware, on_step if is_first else None)
            seconds = time.perf_counter() - began
            scores = None if validation is None else state.validate(validation, lattice)
            is_best = state.record_epoch(number + 1, loss, scores)
            if log is None:
                continue
            epoch = Epoch(
                number + 1,
                settings.epochs,
                loss,
                state.rate,
                steps_per_epoch(len(samples), settings)
                * min(settings.batch, len(samples))
                / seconds,
                scores,
                is_best,
            )
            saved = state.checkpoint(origin)
            with _explain_os_errors(folder):
                if is_best:
                    save_checkpoint(folder / BEST_CHECKPOINT, saved)
                log.write(epoch)
                save_checkpoint(path, saved)
            if on_epoch is not None:
                on_epoch(epoch)
    finally:
        if log is not None:
            log.close()


@contextmanager
def _explain_os_errors(folder: Path) -> Iterator[None]:
    """Turn an ``OSError`` in the body into an ``OutputError`` of one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The training in {folder} cannot be written ({error.strerror or error}). Free some "
            "space, or give another folder with --out; then rerun the same command to resume."
        ) from error


class _TrainingState:
    """State of a training between two epochs: everything needed to resume it."""

    def __init__(
        self,
        deployable: DeployableNetwork,
        settings: TrainingSettings,
        class_weights: list[float],
        prior: list[float],
        group: ProcessGroup,
    ) -> None:
        self.settings, self.class_weights, self.group = settings, class_weights, group
        self.prior = prior
        self.deployable = deployable.to(group.device)
        self.alpha = torch.tensor(class_weights, device=group.device)
        self.sets: SetWeights | None = None
        self.average = {k: v.clone() for k, v in deployable.network.state_dict().items()}
        matrices = [p for p in deployable.network.parameters() if p.ndim > 1]
        others = [p for p in deployable.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
        )
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=settings.precision == "fp16")
        self.wrapped = group.wrap(self.deployable)
        self.done, self.step, self.rate = 0, 0, 0.0
        self.losses, self.validations = list[float](), list[dict[str, float]]()

    @classmethod
    def start(
        cls,
        samples: Samples,
        config: NetworkConfig,
        settings: TrainingSettings,
        group: ProcessGroup,
        *,
        workers: int,
        init: TrainedNetwork | None = None,
    ) -> Self:
        torch.manual_seed(settings.seed)
        part = slice(group.rank, None, group.world_size)
        own = histograms_of(samples, workers=workers, part=part)
        s2, s1, classes = (
            group.sum(torch.from_numpy(counts).to(group.device)).cpu().numpy()
            for counts in (own.s2, own.s1, own.classes)
        )
        histograms = Histograms(s2, s1, classes)
        network = build_network(config)
        normalisation = None if init is None else init.normalisation
        if init is not None:
            init.load_into(network, [cover.name for cover in samples.classes])
        deployable = DeployableNetwork(
            network, normalisation or normalisation_of(histograms, network.inputs)
        )
        if init is not None and init.lacks_statistics:
            measure_statistics(deployable.to(group.device), samples)
        weights = class_weights_of(histograms.classes, power=settings.balance)
        weighted = histograms.classes * np.array(weights)
        return cls(deployable, settings, weights, (weighted / weighted.sum()).tolist(), group)

    @classmethod
    def resume(
        cls,
        path: Path,
        config: NetworkConfig,
        settings: TrainingSettings,
        origin: Mapping[str, Any],
        group: ProcessGroup,
    ) -> Self:
        saved = load_checkpoint(path)
        check_same_training(path, saved, config, settings, origin)
        resume = saved["resume"]
        deployable = DeployableNetwork(
            build_network(config), Normalisation.from_dict(saved["normalisation"])
        )
        deployable.network.load_state_dict(resume["network"])
        prior = saved.get("prior", [])  # older checkpoints lack it
        state = cls(deployable, settings, resume["class_weights"], prior, group)
        state.average = {k: v.to(group.device) for k, v in saved["weights"].items()}
        state.optimizer.load_state_dict(resume["optimizer"])
        state.scaler.load_state_dict(resume["scaler"])
        state.done, state.step = resume["epochs"], resume["steps"]
        state.losses, state.validations = saved["training"]["losses"], resume["validations"]
        torch.set_rng_state(resume["rng"])
        return state

    def use_sets(self, samples: Samples) -> None:
        """Take the label sets of the samples into the loss."""
        if not samples.sets:
            return
        members = set_members(samples.sets, [cover.name for cover in samples.classes])
        device = self.group.device
        prior = torch.tensor(self.prior, device=device)
        self.sets = SetWeights.of(
            torch.from_numpy(members).to(device), alpha=self.alpha, prior=prior
        )

    def checkpoint(self, origin: Mapping[str, Any]) -> dict[str, Any]:
        """Values and tensors to save; the keys are the file's format."""
        training = {**origin["training"], "losses": self.losses}
        if self.validations:
            best = self._best()
            training["validation"] = {"epoch": best + 1, **self.validations[best]}
        return {
            **origin,
            "training": training,
            "config": json_values(asdict(self.deployable.network.config)),
            "normalisation": json_values(self.deployable.normalisation.to_dict()),
            "settings": asdict(self.settings),
            "prior": self.prior,
            "weights": self.average,
            "resume": {
                "epochs": self.done,
                "steps": self.step,
                "network": self.deployable.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "class_weights": self.class_weights,
                "validations": self.validations,
                "rng": torch.get_rng_state(),
            },
        }

    def epoch(
        self,
        samples: Samples,
        number: int,
        hardware: Hardware,
        on_step: Callable[[int, int], None] | None,
    ) -> float:
        """Train on every chip once; the mean loss."""
        settings, steps = self.settings, steps_per_epoch(len(samples), self.settings)
        self.wrapped.train()
        total = 0.0
        shares = batches(
            samples,
            settings,
            number,
            inputs=self.deployable.inputs,
            rank=self.group.rank,
            world_size=self.group.world_size,
            parts=hardware.parts,
            workers=hardware.workers,
        )
        for done, parts in enumerate(shares, 1):
            self.rate = learning_rate(self.step, settings.epochs * steps, settings)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate
            total += self._learn(parts)
            self._keep_average()
            if on_step is not None:
                on_step(done, steps)
        return total / steps

    def _learn(self, parts: list[Batch]) -> float:
        """Make one step of the optimizer; its loss."""
        device = self.group.device
        targets = [part.target.to(device) for part in parts]
        # The weight of the whole step's pixels, so that parts and devices add up to the whole.
        weight = torch.stack(
            [pixel_weights(one, alpha=self.alpha, sets=self.sets).sum() for one in targets]
        ).sum()
        weight = self.group.sum(weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=device)
        for i, (part, target) in enumerate(zip(parts, targets, strict=True), 1):
            later = isinstance(self.wrapped, DistributedDataParallel) and i < len(parts)
            with self.wrapped.no_sync() if later else nullcontext():  # type: ignore[operator]
                share = self._loss(part.s2.to(device), part.s1.to(device), target, weight)
                # Gradients are averaged over the processes, but the loss is a sum.
                self.scaler.scale(share * self.group.world_size).backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
        value = float(self.group.sum(loss))
        if not math.isfinite(value):
            raise ModelError(
                f"The loss is {value} in step {self.step + 1}. Lower the learning rate."
            )
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.deployable.parameters(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        return value

    def _loss(self, s2: Tensor, s1: Tensor, target: Target, weight: Tensor) -> Tensor:
        precision = self.settings.precision
        half = (
            nullcontext()
            if precision == "fp32"
            else torch.autocast(self.group.device.type, AUTOCAST[precision])
        )
        with half:
            logits = self.wrapped(s2, s1)
        return focal_loss(
            upsample_logits(logits, stride=self.deployable.network.stride),
            target,
            alpha=self.alpha,
            gamma=self.settings.gamma,
            sets=self.sets,
            total=weight,
        )

    def _keep_average(self) -> None:
        kept_share = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.deployable.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - kept_share)
                else:
                    self.average[name].copy_(value)

    def validate(self, samples: Samples, lattice: Lattice) -> dict[str, float]:
        """Scores of the averaged weights on other chips, shared between the processes."""
        for value in self.average.values():
            self.group.broadcast(value)  # on CPUs each process has its own batch norm statistics
        network = build_network(self.deployable.network.config)
        network.load_state_dict(self.average)
        deployable = DeployableNetwork(network, self.deployable.normalisation).to(self.group.device)
        part = slice(self.group.rank, None, self.group.world_size)
        counts = torch.from_numpy(measure(deployable, samples, part=part, lattice=lattice))
        matrix = self.group.sum(counts.to(self.group.device)).cpu().numpy()
        scores = {
            "mean_iou": mean_iou(matrix),
            "accuracy": accuracy(matrix),
            "mean_f1": mean_f1(matrix),
        }
        named = zip(samples.classes, iou(matrix).tolist(), strict=True)
        class_scores = {
            f"iou_{cover.name}": value for cover, value in named if not math.isnan(value)
        }
        return scores | class_scores

    def record_epoch(self, epochs: int, loss: float, scores: dict[str, float] | None) -> bool:
        """Record a finished epoch; whether it is the best so far on the validation chips."""
        self.done, self.losses = epochs, [*self.losses, loss]
        if scores is None:
            return False
        self.validations = [*self.validations, scores]
        return self._best() == len(self.validations) - 1

    def has_stalled(self) -> bool:
        """Whether the validation has not improved for as many epochs as ``patience``."""
        patience = self.settings.patience
        if patience is None or not self.validations:
            return False
        return len(self.validations) - 1 - self._best() >= patience

    def _best(self) -> int:
        values = [scores["mean_iou"] for scores in self.validations]
        return values.index(max(values))
