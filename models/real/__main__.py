"""The recipe: real samples to landscapes, landscapes to a network, the network to a model file.

    python -m models.real RUN_FOLDER --data ../shared/data

The recipe is followed twice: with a fold of the samples held out, to measure what it is worth and
how sure it may be, and with all of them, which is the model that is shipped. Stopped at any moment,
the same command goes on. ``README.md`` beside this file says more.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from lulcmap.chipset import Dataset
from lulcmap.cli.train import train
from models.real.dataset import build
from models.real.finish import export, with_figures, with_figures_of

LEARNT = (
    *("--augmentation", "strong"),
    *("--missing-s1", "0.4"),
    *("--missing-s2", "0.05"),
    *("--balance", "0"),
    *("--gamma", "0"),
)
"""Options of ``lulcmap train`` that are the recipe's: no class counts more than it is common, and
no pixel for being hard, so that what the network is sure of stays true of land as it is."""


PASSED_ON = ("model", "transform", "epochs", "batch_size", "crop", "learning_rate", "average")
"""Options of this command that ``lulcmap train`` gets as they are."""


def main() -> None:
    """Datasets, trainings, figures, file."""
    parser = argparse.ArgumentParser(
        prog="python -m models.real",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the run is kept")
    parser.add_argument("--data", type=Path, required=True, help="with points/ and archive/")
    parser.add_argument("--fold", type=int, default=0, help="to be measured on, 0 to 4")
    parser.add_argument("--seed", type=int, default=0, help="of the training; landscapes stay")
    parser.add_argument("--measure-only", action="store_true", help="end after the held-out twin")
    parser.add_argument("--chips", type=int, default=3000, help="landscapes to learn from")
    parser.add_argument("--held", type=int, default=96, help="for the temperature, and to test on")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of a landscape")
    parser.add_argument("--model", default="lulcformer-tiny")
    parser.add_argument("--transform", default="log-indices")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    name = f"{options.model}-real"
    dataset, training = _trained(options, fold=options.fold)
    twin = with_figures(training, dataset)
    own = f"fold-{options.fold}-seed-{options.seed}"
    export(twin, options.folder / f"{own}.onnx", name=f"{name}-{own}")
    if options.measure_only:
        return
    dataset, training = _trained(options, fold=None)
    shipped = with_figures_of(twin, training, dataset)
    export(shipped, options.folder / f"{name}.onnx", name=name)


def _trained(options: argparse.Namespace, *, fold: int | None) -> tuple[Dataset, Path]:
    """Landscapes, and the folder of what learnt from them; None holds no fold out."""
    place = options.folder / ("whole" if fold is None else f"fold-{fold}")
    counts = {"train": options.chips}
    if fold is not None:
        counts |= {"validation": options.held, "test": options.held}
    folder, training = place / "dataset", place / f"seed-{options.seed}"
    with tqdm(desc=f"landscapes, {place.name}", total=sum(counts.values())) as bar:
        build(
            options.data,
            folder,
            counts=counts,
            fold=fold,
            size=options.size,
            workers=options.workers,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    train.main(
        [
            *("--data", str(folder), "--out", str(training), "--seed", str(options.seed)),
            *("--device", options.device, "--workers", str(options.workers)),
            *(
                word
                for name in PASSED_ON
                for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))
            ),
            *LEARNT,
        ],
        standalone_mode=False,
    )
    return Dataset.open(folder), training


if __name__ == "__main__":
    main()
