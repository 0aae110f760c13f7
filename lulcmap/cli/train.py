"""``lulcmap train``: train a network on a dataset."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from lulcmap.cli.app import need_torch
from lulcmap.cli.command import Command
from lulcmap.cli.initial import describe_start, init_options, load_init, network_to_train
from lulcmap.cli.logs import configure_logging, logging_options
from lulcmap.cli.options import option_of
from lulcmap.cli.terminal import echo, note_lost_output
from lulcmap.cli.train_data import cache_bytes_of, open_datasets, samples_of, source_of
from lulcmap.training import Hardware, TrainingSettings

if TYPE_CHECKING:
    from tqdm import tqdm

    from lulcmap.training import Epoch, Transform

_MODELS = ("lulcformer", "lulcformer-tiny", "segformer", "segformer-tiny", "unet", "unet-tiny")
"""Keys of ``lulcmap.training.NETWORKS``, repeated here so that ``--help`` does not need torch."""


@click.command(cls=Command, short_help="Train a network on a dataset.")
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="FOLDER[=SHARE]",
    help="Dataset, as built by `lulcmap dataset build`; several may be given, with "
    "their shares of each epoch (=2 and =1: two thirds and a third). Default: every chip once.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for checkpoints and logs; created if missing.",
)
@click.option("--model", type=click.Choice(_MODELS), default="lulcformer", help="Network.")
@click.option(
    "--modalities", default="s2,s1", help="Sensors the network takes: s2,s1 or one of them."
)
@click.option(
    "--allocation",
    default="3:1",
    metavar="S2:S1",
    help="Channels of LULC-Former's spectral branch to those of its SAR branch.",
)
@click.option(
    "--dmem/--no-dmem",
    default=True,
    help="Let LULC-Former's branches attend to each other.",
)
@click.option(
    "--mmam/--no-mmam",
    default=True,
    help="Re-weight the channels of LULC-Former's branches before fusing them.",
)
@click.option(
    "--transform",
    type=click.Choice(["standardised", "log-indices"]),
    default="standardised",
    help="Sentinel-2 input: standardised bands, or logarithms with indices.",
)
@init_options
@option_of(
    TrainingSettings,
    "epochs",
    "Passes over the chips.",
    type=click.IntRange(1),
)
@option_of(
    TrainingSettings,
    "batch",
    "Samples per step, over all devices: 4 on each of the paper's 8.",
    type=click.IntRange(1),
    flags=("--batch-size", "batch"),
)
@option_of(
    Hardware,
    "parts",
    "Split each device's step into this many parts to save memory; batch norm sees one part.",
    type=click.IntRange(1),
    flags=("--accumulate", "parts"),
)
@option_of(
    TrainingSettings,
    "crop",
    "Side of the crop from a chip, pixels, a multiple of 32; 512 takes whole tiles.",
    type=click.IntRange(32),
)
@option_of(
    TrainingSettings,
    "learning_rate",
    "Highest learning rate, after the warm-up.",
    type=click.FloatRange(0, min_open=True),
)
@option_of(
    TrainingSettings,
    "weight_decay",
    "Weight decay of AdamW, on matrices only.",
    type=click.FloatRange(0),
)
@option_of(
    TrainingSettings,
    "warmup",
    "Share of the steps used for warm-up.",
    type=click.FloatRange(0, 1),
)
@option_of(
    TrainingSettings,
    "gamma",
    "Gamma of the focal loss.",
    type=click.FloatRange(0),
)
@option_of(
    TrainingSettings,
    "balance",
    "Class weight is frequency to minus this power: 0 no weights, 1 all classes equal.",
    type=click.FloatRange(0, 1),
)
@option_of(
    TrainingSettings,
    "missing_s2",
    "Share of samples without Sentinel-2, so that the network learns to map without it.",
    type=click.FloatRange(0, 1),
)
@option_of(
    TrainingSettings,
    "missing_s1",
    "Share of samples without Sentinel-1.",
    type=click.FloatRange(0, 1),
)
@option_of(
    TrainingSettings,
    "augmentation",
    "How much light, haze and backscatter vary.",
)
@option_of(
    TrainingSettings,
    "pixel_shift",
    "Share of samples whose sensors are each shifted by up to half a pixel against the label.",
    type=click.FloatRange(0, 1),
    show_default="0 of gentle, 0.5 of strong",
)
@option_of(
    TrainingSettings,
    "average",
    "Share of the averaged weights that each step keeps; 0 takes the last weights.",
    type=click.FloatRange(0, 1, max_open=True),
)
@option_of(
    TrainingSettings,
    "patience",
    "Stop after this many epochs without a better validation.",
    type=click.IntRange(1),
    show_default="none",
)
@option_of(
    TrainingSettings,
    "seed",
    "Random seed.",
    type=click.IntRange(0),
)
@option_of(
    TrainingSettings,
    "precision",
    "Precision of the arithmetic; on a GPU, bf16 is at least twice as fast.",
)
@option_of(
    Hardware,
    "device",
    "Device.",
)
@option_of(
    Hardware,
    "devices",
    "GPUs (or CPU processes) that share each step.",
    type=click.IntRange(1),
)
@option_of(
    Hardware,
    "workers",
    "Reader threads per device.",
    type=click.IntRange(1),
)
@logging_options
@click.pass_context
def train(
    ctx: click.Context,
    /,
    *,
    data: tuple[str, ...],
    out: Path,
    model: str,
    modalities: str,
    allocation: str,
    dmem: bool,
    mmam: bool,
    transform: "Transform",
    init: str | None,
    new_normalisation: bool,
    parts: int,
    device: Literal["auto", "cpu", "cuda"],
    devices: int,
    workers: int,
    verbose: int,
    quiet: bool,
    log_format: str,
    **settings: Any,
) -> None:
    """Train a network on the chips of --data and save it in --out.

    \b
        lulcmap train --data dynamicworld --out run --device cuda --devices 8 --precision bf16
        lulcmap train --data mine --out run --model lulcformer-tiny --epochs 50 --batch-size 8
        lulcmap train --data mine=1 --data dynamicworld=3 --out run
        lulcmap train --data mine --out run --init lulcformer-tiny-real --learning-rate 1e-4

    The defaults are the paper's: 200 epochs, AdamW at 5e-4, cosine, focal loss, whole tiles. If
    interrupted, rerun the same command; it resumes after the last finished epoch and ends with the
    same weights. --out holds checkpoint.pt (the last epoch), best.pt (the best epoch on the
    validation chips), log.csv and TensorBoard's files.

    \b
        lulcmap evaluate run/best.pt --data dynamicworld      evaluate the network
        lulcmap export-onnx run/best.pt --out mine.onnx       make a model file for predict
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    need_torch("Training")
    from lulcmap.errors import UsageError
    from lulcmap.training import (
        Hardware,
        TrainingSettings,
        train_network,
    )

    if settings["crop"] % 32:
        raise UsageError(f"--crop is {settings['crop']}. Give a multiple of 32.")
    datasets, shares = open_datasets(data)
    start = load_init(init, new_normalisation=new_normalisation, out=out)
    config = network_to_train(
        ctx,
        start,
        model,
        classes=len(datasets[0].classes),
        modalities=modalities.split(","),
        allocation=allocation,
        dmem=dmem,
        mmam=mmam,
        transform=transform,
    )
    if len(config.inputs) == 1:  # the only sensor is never removed
        settings |= {"missing_s2": 0.0, "missing_s1": 0.0}
    training = samples_of(datasets, "train", shares, cache_bytes=cache_bytes_of(devices))
    validation = samples_of(datasets, "validation", None, cache_bytes=cache_bytes_of(devices) / 4)
    if training is None:
        raise UsageError(f"No chip to train on in {', '.join(data)}. Check the splits.")
    reporter = _Reporter(
        quiet=quiet, bar=not quiet and log_format == "text" and sys.stderr.isatty()
    )
    if start is not None:
        echo(describe_start(start, datasets[0].names))
    with _hold_folder(out):
        path = train_network(
            training,
            out,
            config=config,
            settings=TrainingSettings(**settings),
            trained_on="simulated" if all(one.about.simulated for one in datasets) else "real",
            source=source_of(datasets),
            validation=validation,
            init=start,
            hardware=Hardware(device, devices, parts, workers),
            on_epoch=reporter.epoch,
            on_step=reporter.step,
        )
    echo(f"Trained {config.name}: {path}")
    for dataset in datasets:
        split = next((name for name in ("test", "validation") if dataset.split(name)), None)
        if split is not None:
            echo(f"Evaluate it:  lulcmap evaluate {path} --data {dataset.folder} --split {split}")
    echo(f"Export it:    lulcmap export-onnx {path}")
    note_lost_output()


@contextmanager
def _hold_folder(out: Path) -> Iterator[None]:
    """Lock a training's folder in the body; remove the folder afterwards if it is empty.

    Raises:
        OutputError: another process is training there, or the folder cannot be created.

    """
    from lulcmap.errors import OutputError
    from lulcmap.system import HeldError, hold_file

    lock = out / ".lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with hold_file(lock):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
                if not any(out.iterdir()):
                    out.rmdir()
    except HeldError as error:
        raise OutputError(f"{error} is training in {out}. Wait, or give another --out.") from None
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written to ({error.strerror}). Give another --out."
        ) from error


class _Reporter:
    """Reports the progress of a training: a bar for the steps, a line per epoch."""

    def __init__(self, *, quiet: bool, bar: bool) -> None:
        self._quiet, self._bar = quiet, bar
        self._progress_bar: tqdm[Any] | None = None

    def step(self, done: int, steps: int) -> None:
        """Report a finished step."""
        from tqdm import tqdm

        if self._bar:
            if self._progress_bar is None:
                self._progress_bar = tqdm(desc="steps", total=steps, leave=False)
            self._progress_bar.update(done - self._progress_bar.n)

    def epoch(self, epoch: "Epoch") -> None:
        """Report a finished epoch."""
        if self._progress_bar is not None:
            self._progress_bar.close()
            self._progress_bar = None
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
        echo(line)
