"""Training on chips: AdamW, a cosine, focal loss; resumed after a kill as if nothing had been."""

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

from lulcmap.errors import ModelError, OutputError, UsageError
from lulcmap.evaluation import accuracy, iou, mean_f1, mean_iou
from lulcmap.training.batches import Batch, batches, steps_per_epoch
from lulcmap.training.checkpoint import (
    json_values,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
)
from lulcmap.training.chips import (
    Histograms,
    Samples,
    class_weights_of,
    histograms_of,
    normalisation_of,
)
from lulcmap.training.deployable import DeployableNetwork, Normalisation
from lulcmap.training.distributed import ProcessGroup, find_device, run_processes
from lulcmap.training.log import Epoch, TrainingLog
from lulcmap.training.loss import focal_loss, pixel_weights, upsample_logits
from lulcmap.training.networks import NetworkConfig, build_network, config_from_json
from lulcmap.training.settings import Hardware, TrainingSettings, learning_rate
from lulcmap.training.tiled import measure

CHECKPOINT = "checkpoint.pt"
"""The file in a training's folder: the last finished epoch."""

BEST_CHECKPOINT = "best.pt"
"""The file in a training's folder: the epoch that was best on the validation chips."""

LandKind = Literal["simulated", "real"]

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def train_network(
    samples: Samples,
    folder: Path,
    *,
    config: NetworkConfig,
    settings: TrainingSettings,
    knows: LandKind,
    source: str = "",
    validation: Samples | None = None,
    hardware: Hardware = Hardware(),  # noqa: B008  # it is frozen
    progress: Callable[[Epoch], None] | None = None,
    ticks: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a network, or go on where a killed training left off.

    On a CPU with one number of threads the resumed training gives the same weights, bit for bit.

    Args:
        samples: to learn from.
        folder: where the checkpoints and the log are kept; made if need be.
        config: the network's shape.
        settings: of the training.
        knows: the kind of land the chips show.
        source: what the chips are and where they come from, a sentence for the model card.
        validation: chips the averaged weights are measured on after each epoch.
        hardware: what it runs on. With several devices ``progress`` and ``ticks`` are functions of
            a module.
        progress: told of every finished epoch.
        ticks: told of every finished step of an epoch, and of how many it has.

    Returns:
        The path of the best epoch's checkpoint; of the last one's without ``validation``. Its
        ``weights`` are the average over the training.

    Raises:
        UsageError: the folder holds a training with other settings or chips or another shape, or
            the chips, the settings and the hardware do not fit.
        OutputError: the folder cannot be written to.
        DeviceError: the device cannot be had.
        ModelError: the loss is no number, or the folder's checkpoint cannot be read.

    """
    device = find_device(hardware.device)
    _check_fit(samples, config, settings, hardware, device)
    if settings.patience is not None and validation is None:
        raise UsageError(
            "--patience needs validation chips, and the dataset has none. Leave it out."
        )
    with _explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    facts = {
        "knows": knows,
        "classes": [[cover.name, cover.colour] for cover in samples.classes],
        "training": {
            "source": source,
            "chips": len(samples),
            "digest": samples.digest,
            "validated_on": None if validation is None else validation.digest,
            "crop": settings.crop,
            "torch": str(torch.__version__),  # a subclass that would not load again
        },
    }
    run_processes(
        _train,
        *(samples, validation, folder, config, settings, hardware, facts, progress, ticks),
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
    """See that a step can be shared out."""
    if not len(samples):
        raise UsageError("There is no chip to learn from. Look at the dataset's splits.")
    if config.classes != len(samples.classes):
        raise UsageError(
            f"The network has {config.classes} classes, the chips have {len(samples.classes)}."
        )
    shares = hardware.devices * hardware.parts
    if settings.batch % shares or min(settings.batch, len(samples)) < shares:
        raise UsageError(
            f"A step of {settings.batch} samples (of {len(samples)}) cannot be shared by "
            f"{hardware.devices} devices in {hardware.parts} parts each. Give a --batch-size that "
            "is a multiple of both, and enough chips."
        )
    if settings.precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 needs a GPU; give --precision fp32 or bf16.")


def _train(
    team: ProcessGroup,
    samples: Samples,
    validation: Samples | None,
    folder: Path,
    config: NetworkConfig,
    settings: TrainingSettings,
    hardware: Hardware,
    facts: Mapping[str, Any],
    progress: Callable[[Epoch], None] | None,
    ticks: Callable[[int, int], None] | None,
) -> None:
    """What each process of a training does; the first one writes and tells."""
    path = folder / CHECKPOINT
    if path.exists():
        run = _TrainingState.resume(path, config, settings, facts, team)
    else:
        run = _TrainingState.start(samples, config, settings, team, workers=hardware.workers)
    first = team.rank == 0
    with _explain_os_errors(folder):
        log = TrainingLog(folder, done=run.done) if first else None
    try:
        for number in range(run.done, settings.epochs):
            if run.is_over():
                break
            began = time.perf_counter()
            loss = run.epoch(samples, number, hardware, ticks if first else None)
            seconds = time.perf_counter() - began
            scores = None if validation is None else run.validated(validation)
            better = run.finished(number + 1, loss, scores)
            if log is None:
                continue
            epoch = Epoch(
                number + 1,
                settings.epochs,
                loss,
                run.rate,
                steps_per_epoch(len(samples), settings)
                * min(settings.batch, len(samples))
                / seconds,
                scores,
                better,
            )
            saved = run.checkpoint(facts)
            with _explain_os_errors(folder):
                if better:
                    save_checkpoint(folder / BEST_CHECKPOINT, saved)
                log.write(epoch)
                save_checkpoint(path, saved)
            if progress is not None:
                progress(epoch)
    finally:
        if log is not None:
            log.close()


@contextmanager
def _explain_os_errors(folder: Path) -> Iterator[None]:
    """What the disk says, in one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The training in {folder} cannot be written ({error.strerror or error}). Make room, "
            "or name another folder with --out; then run the same command again to go on."
        ) from error


class _TrainingState:
    """A training between two epochs: everything that must outlive a kill."""

    def __init__(
        self,
        deployed: DeployableNetwork,
        settings: TrainingSettings,
        class_weights: list[float],
        prior: list[float],
        team: ProcessGroup,
    ) -> None:
        self.settings, self.class_weights, self.team = settings, class_weights, team
        self.prior = prior
        self.deployed = deployed.to(team.device)
        self.alpha = torch.tensor(class_weights, device=team.device)
        self.average = {k: v.clone() for k, v in deployed.network.state_dict().items()}
        matrices = [p for p in deployed.network.parameters() if p.ndim > 1]
        others = [p for p in deployed.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
        )
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=settings.precision == "fp16")
        self.wrapped = team.wrapped(self.deployed)
        self.done, self.step, self.rate = 0, 0, 0.0
        self.losses, self.validations = list[float](), list[dict[str, float]]()

    @classmethod
    def start(
        cls,
        samples: Samples,
        config: NetworkConfig,
        settings: TrainingSettings,
        team: ProcessGroup,
        *,
        workers: int,
    ) -> Self:
        torch.manual_seed(settings.seed)
        part = slice(team.rank, None, team.world)
        counted = histograms_of(samples, workers=workers, part=part)
        s2, s1, classes = (
            team.sum(torch.from_numpy(counts).to(team.device)).cpu().numpy()
            for counts in (counted.s2, counted.s1, counted.classes)
        )
        found = Histograms(s2, s1, classes)
        network = build_network(config)
        deployed = DeployableNetwork(network, normalisation_of(found, network.inputs))
        weights = class_weights_of(found.classes, power=settings.balance)
        counted_for = found.classes * np.array(weights)
        return cls(deployed, settings, weights, (counted_for / counted_for.sum()).tolist(), team)

    @classmethod
    def resume(
        cls,
        path: Path,
        config: NetworkConfig,
        settings: TrainingSettings,
        facts: Mapping[str, Any],
        team: ProcessGroup,
    ) -> Self:
        saved = load_checkpoint(path)
        _check_same_training(path, saved, config, settings, facts)
        resume = saved["resume"]
        deployed = DeployableNetwork(
            build_network(config), Normalisation.from_dict(saved["normalisation"])
        )
        deployed.network.load_state_dict(resume["network"])
        prior = saved.get("prior", [])  # an older training does not know it
        run = cls(deployed, settings, resume["class_weights"], prior, team)
        run.average = {k: v.to(team.device) for k, v in saved["weights"].items()}
        run.optimizer.load_state_dict(resume["optimizer"])
        run.scaler.load_state_dict(resume["scaler"])
        run.done, run.step = resume["epochs"], resume["steps"]
        run.losses, run.validations = saved["training"]["losses"], resume["validations"]
        torch.set_rng_state(resume["rng"])
        return run

    def checkpoint(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What is saved."""
        training = {**facts["training"], "losses": self.losses}
        if self.validations:
            best = self._best()
            training["validation"] = {"epoch": best + 1, **self.validations[best]}
        return {
            **facts,
            "training": training,
            "config": json_values(asdict(self.deployed.network.config)),
            "normalisation": json_values(self.deployed.normalisation.to_dict()),
            "settings": asdict(self.settings),
            "prior": self.prior,
            "weights": self.average,
            "resume": {
                "epochs": self.done,
                "steps": self.step,
                "network": self.deployed.network.state_dict(),
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
        ticks: Callable[[int, int], None] | None,
    ) -> float:
        """Learn from every chip once; the mean loss."""
        settings, steps = self.settings, steps_per_epoch(len(samples), self.settings)
        self.wrapped.train()
        total = 0.0
        shares = batches(
            samples,
            settings,
            number,
            rank=self.team.rank,
            world=self.team.world,
            parts=hardware.parts,
            workers=hardware.workers,
        )
        for done, parts in enumerate(shares, 1):
            self.rate = learning_rate(self.step, settings.epochs * steps, settings)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate
            total += self._learn(parts)
            self._keep_average()
            if ticks is not None:
                ticks(done, steps)
        return total / steps

    def _learn(self, parts: list[Batch]) -> float:
        """One step of the optimizer; its loss."""
        device = self.team.device
        labels = [label.to(device, non_blocking=True) for _, _, label in parts]
        # What the whole step's pixels count, so that parts and devices add up to the whole.
        weight = torch.stack(
            [pixel_weights(label, alpha=self.alpha).sum() for label in labels]
        ).sum()
        weight = self.team.sum(weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=device)
        for i, ((s2, s1, _), label) in enumerate(zip(parts, labels, strict=True), 1):
            later = isinstance(self.wrapped, DistributedDataParallel) and i < len(parts)
            with self.wrapped.no_sync() if later else nullcontext():  # type: ignore[operator]
                part = self._loss(s2.to(device), s1.to(device), label, weight)
                # Over several processes gradients are averaged; the loss is a sum.
                self.scaler.scale(part * self.team.world).backward()  # type: ignore[no-untyped-call]
            loss += part.detach()
        value = float(self.team.sum(loss))
        if not math.isfinite(value):
            raise ModelError(
                f"The loss is {value} in step {self.step + 1}. Lower the learning rate."
            )
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.deployed.parameters(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        return value

    def _loss(self, s2: Tensor, s1: Tensor, label: Tensor, weight: Tensor) -> Tensor:
        precision = self.settings.precision
        half = (
            nullcontext()
            if precision == "fp32"
            else torch.autocast(self.team.device.type, AUTOCAST[precision])
        )
        with half:
            logits = self.wrapped(s2, s1)
        return focal_loss(
            upsample_logits(logits, stride=self.deployed.network.stride),
            label,
            alpha=self.alpha,
            gamma=self.settings.gamma,
            total=weight,
        )

    def _keep_average(self) -> None:
        keep = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.deployed.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)

    def validated(self, samples: Samples) -> dict[str, float]:
        """What the averaged weights are worth on other chips, of which each process takes some."""
        for value in self.average.values():
            self.team.share(value)  # batch norm on CPUs saw other samples in each process
        network = build_network(self.deployed.network.config)
        network.load_state_dict(self.average)
        deployed = DeployableNetwork(network, self.deployed.normalisation).to(self.team.device)
        part = slice(self.team.rank, None, self.team.world)
        counts = torch.from_numpy(measure(deployed, samples, part=part)).to(self.team.device)
        matrix = self.team.sum(counts).cpu().numpy()
        scores = {
            "mean_iou": mean_iou(matrix),
            "accuracy": accuracy(matrix),
            "mean_f1": mean_f1(matrix),
        }
        named = zip(samples.classes, iou(matrix).tolist(), strict=True)
        seen = {f"iou_{cover.name}": value for cover, value in named if not math.isnan(value)}
        return scores | seen

    def finished(self, epochs: int, loss: float, scores: dict[str, float] | None) -> bool:
        """Take note of an epoch; whether none before it was as good on the validation chips."""
        self.done, self.losses = epochs, [*self.losses, loss]
        if scores is None:
            return False
        self.validations = [*self.validations, scores]
        return self._best() == len(self.validations) - 1

    def is_over(self) -> bool:
        """Whether nothing was gained for longer than the settings' patience."""
        patience = self.settings.patience
        if patience is None or not self.validations:
            return False
        return len(self.validations) - 1 - self._best() >= patience

    def _best(self) -> int:
        values = [scores["mean_iou"] for scores in self.validations]
        return values.index(max(values))


def _check_same_training(
    path: Path,
    saved: Mapping[str, Any],
    config: NetworkConfig,
    settings: TrainingSettings,
    facts: Mapping[str, Any],
) -> None:
    """See that a training in a folder is the one that is asked for.

    Raises:
        UsageError: naming what differs.
        ModelError: it cannot be gone on with.

    """
    chips = ("chips", "digest", "validated_on")
    try:
        # an older training knows fewer of them, and had what is their default now
        old_settings = asdict(TrainingSettings(**saved["settings"]))
        old_config = json_values(asdict(config_from_json(saved["config"])))
        missing = {"resume"} - set(saved)
    except (TypeError, KeyError):
        missing = {"settings of this version"}
    if missing:
        raise ModelError(
            f"{path} is no training that can be gone on with: it lacks {missing.pop()}. Give "
            "another folder."
        )
    for what, old, new in (
        ("settings", old_settings, asdict(settings)),
        ("networks", old_config, json_values(asdict(config))),
        ("chips", saved["training"], {key: facts["training"][key] for key in chips}),
    ):
        other = [
            f"{key}: {old.get(key)} there, {new[key]} now"
            for key in new
            if old.get(key) != new[key]
        ]
        if other:
            raise UsageError(
                f"{path} is a training with other {what} ({'; '.join(other)}). "
                "Go on with its own, or give another folder."
            )
