"""``lulcmap train``: a dataset to a trained network."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from lulcmap.cli.app import configure_logging, logging_options, need_torch

if TYPE_CHECKING:
    from lulcmap.dataset import Dataset
    from lulcmap.training import Epoch, Transform

MODELS = ("lulcformer", "lulcformer-tiny", "segformer", "segformer-tiny", "unet", "unet-tiny")
"""Keys of ``lulcmap.training.zoo.MODELS``, said here so that ``--help`` needs no torch."""

_KEPT = 0.4
"""Of the memory that is free, what chips may be kept in."""


@click.command(short_help="Train a network on a dataset.")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A dataset, as `lulcmap dataset build` makes it.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the training: checkpoints and logs.",
)
@click.option("--model", type=click.Choice(MODELS), default="lulcformer", help="Network.")
@click.option("--modalities", default="s2,s1", help="Sensors it takes: s2,s1 or one of them.")
@click.option(
    "--allocation",
    default="3:1",
    metavar="S2:S1",
    help="How LULC-Former's channels are split between its two branches.",
)
@click.option(
    "--dmem/--no-dmem",
    default=True,
    help="Whether LULC-Former's branches attend to each other.",
)
@click.option(
    "--mmam/--no-mmam",
    default=True,
    help="Whether LULC-Former re-weights its branches' channels before it fuses them.",
)
@click.option(
    "--transform",
    type=click.Choice(["standardised", "log-indices"]),
    default="standardised",
    help="Sentinel-2 as the network sees it: bands, or their logarithms with indices.",
)
@click.option("--epochs", type=click.IntRange(1), default=200, help="Passes over the chips.")
@click.option(
    "--batch-size",
    "batch",
    type=click.IntRange(1),
    default=32,
    help="Samples a step, over all devices: 4 on each of the paper's 8.",
)
@click.option(
    "--accumulate",
    "parts",
    type=click.IntRange(1),
    default=1,
    help="Parts a step is made in, one after the other: less memory; batch norm sees a part.",
)
@click.option(
    "--crop",
    type=click.IntRange(32),
    default=512,
    help="Pixels a side that are cut from a chip, a multiple of 32; 512 takes tiles whole.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=5e-4,
    help="Highest, after the warm-up.",
)
@click.option(
    "--weight-decay", type=click.FloatRange(0), default=0.01, help="Of AdamW, on matrices."
)
@click.option(
    "--warmup", type=click.FloatRange(0, 1), default=0.05, help="Share of the steps it rises over."
)
@click.option("--gamma", type=click.FloatRange(0), default=2.0, help="Of the focal loss.")
@click.option(
    "--balance",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="Classes weigh as their frequency to minus this: 0 as they are, 1 all alike.",
)
@click.option(
    "--missing-s2",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="Share of samples without Sentinel-2, so that the network learns to do without.",
)
@click.option(
    "--missing-s1",
    type=click.FloatRange(0, 1),
    default=0.15,
    help="Share of samples without Sentinel-1.",
)
@click.option(
    "--augmentation",
    type=click.Choice(["gentle", "strong"]),
    default="gentle",
    help="How far light, haze and backscatter stray from the chip's.",
)
@click.option(
    "--average",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.999,
    help="Share of the averaged weights that a step keeps; 0 takes the last weights.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    show_default="none",
    help="End after so many epochs without a better validation.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of all draws.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    help="Of the arithmetic; bf16 is twice as fast on a GPU or more.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where.")
@click.option(
    "--devices", type=click.IntRange(1), default=1, help="GPUs (or processes) that share a step."
)
@click.option(
    "--workers", type=click.IntRange(1), default=4, help="Threads that read chips, per device."
)
@logging_options
def train(
    *,
    data: Path,
    out: Path,
    model: str,
    modalities: str,
    allocation: str,
    dmem: bool,
    mmam: bool,
    transform: "Transform",
    parts: int,
    device: str,
    devices: int,
    workers: int,
    verbose: int,
    quiet: bool,
    log_format: str,
    **settings: Any,
) -> None:
    """Train a network on the chips of --data and keep it in --out.

    \b
        lulcmap train --data dynamicworld --out run --device cuda --devices 8 --precision bf16
        lulcmap train --data mine --out run --model lulcformer-tiny --epochs 50 --batch-size 8

    The defaults are the paper's: 200 epochs, AdamW at 5e-4, cosine, focal loss, whole tiles. Killed
    at any moment, the same command goes on after the last finished epoch, and ends with the same
    weights. --out holds checkpoint.pt (the last epoch), best.pt (the best on the validation
    chips), log.csv and TensorBoard's files.

    \b
        lulcmap evaluate run/best.pt --data dynamicworld      how good it is
        lulcmap export-onnx run/best.pt --out mine.onnx       a model file for predict
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    need_torch("Training")
    from lulcmap.dataset import Dataset
    from lulcmap.errors import UsageError
    from lulcmap.system import free_memory
    from lulcmap.training import (
        ChipFolder,
        Hardware,
        TrainingSettings,
        network_config,
        train_network,
    )

    if settings["crop"] % 32:
        raise UsageError(f"--crop is {settings['crop']}; it must be a multiple of 32.")
    dataset = Dataset.open(data)
    config = network_config(
        model,
        classes=len(dataset.classes),
        modalities=modalities.split(","),
        allocation=allocation,
        dmem=dmem,
        mmam=mmam,
        transform=transform,
    )
    if len(modalities.split(",")) == 1:  # nothing may be taken away
        settings |= {"missing_s2": 0.0, "missing_s1": 0.0}
    seen, unseen = dataset.split("train"), dataset.split("validation")
    there = free_memory()
    room = there * _KEPT / devices if isfinite(there) else 0.0
    teller = _Teller(quiet=quiet, bar=not quiet and log_format == "text" and sys.stderr.isatty())
    with _alone(out):
        path = train_network(
            ChipFolder(dataset, seen, room=room),
            out,
            config=config,
            settings=TrainingSettings(**settings),
            knows="simulated" if dataset.settings.get("simulated") else "real",
            source=_source(dataset, len(seen)),
            validation=ChipFolder(dataset, unseen, room=room / 4) if unseen else None,
            hardware=Hardware(device, devices, parts, workers),
            progress=teller.epoch,
            ticks=teller.ticks,
        )
    click.echo(
        f"Trained {config.name}: {path}\n"
        f"How good it is:  lulcmap evaluate {path} --data {data} --split test\n"
        f"To map with it:  lulcmap export-onnx {path}"
    )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a training's folder in the body; one that nothing was put into is removed again.

    Raises:
        OutputError: another process trains there, or the folder cannot be made.

    """
    from lulcmap.errors import OutputError
    from lulcmap.run import HeldError, hold_file

    held = out / ".lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with hold_file(held):
            try:
                yield
            finally:
                held.unlink(missing_ok=True)
                if not any(out.iterdir()):
                    out.rmdir()
    except HeldError as error:
        raise OutputError(f"{error} trains in {out}. Wait for it, or give another --out.") from None
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written to ({error.strerror}). Give another --out."
        ) from error


def _source(dataset: "Dataset", count: int) -> str:
    """What a network was trained on, for its card."""
    rows = dataset.split("train")
    days = sorted(row.date for row in rows)
    span = f" of {days[0]} to {days[-1]}" if days else ""
    kinds = Counter(row.annotator for row in rows)
    made = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return f"{count} labelled images{span} ({made}) at {len({row.place for row in rows})} places"


class _Teller:
    """Says how a training goes: a bar for the steps, a line for every epoch."""

    def __init__(self, *, quiet: bool, bar: bool) -> None:
        self._quiet, self._bar = quiet, bar
        self._shown: tqdm[Any] | None = None

    def ticks(self, done: int, steps: int) -> None:
        """A finished step."""
        if self._bar:
            if self._shown is None:
                self._shown = tqdm(desc="steps", total=steps, leave=False)
            self._shown.update(done - self._shown.n)

    def epoch(self, epoch: "Epoch") -> None:
        """A finished epoch."""
        if self._shown is not None:
            self._shown.close()
            self._shown = None
        if self._quiet:
            return
        line = (
            f"epoch {epoch.number} of {epoch.epochs}: loss {epoch.loss:.4f}, "
            f"{epoch.samples_per_second:.1f} samples/s"
        )
        if epoch.scores is not None:
            line += (
                f"; validation: mean IoU {epoch.scores['mean_iou']:.4f}, accuracy "
                f"{epoch.scores['accuracy']:.4f}{' (best so far)' if epoch.best else ''}"
            )
        click.echo(line)
