"""The recipe: real samples to landscapes, landscapes to a network, the network to a model file.

    python -m models.real RUN_FOLDER --data ../shared/data

Stopped at any moment, the same command goes on. ``README.md`` beside this file says more.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from lulcmap.chipset import Dataset
from lulcmap.cli.train import train
from models.real.dataset import build
from models.real.finish import finish

LEARNT = (
    *("--augmentation", "strong"),
    *("--missing-s1", "0.4"),
    *("--missing-s2", "0.05"),
    *("--balance", "0"),
    *("--gamma", "0"),
)
"""Options of ``lulcmap train`` that are the recipe's: no class counts more than it is common, and
no pixel for being hard, so that what the network is sure of stays true of land as it is."""


def main() -> None:
    """Dataset, training, figures, file."""
    parser = argparse.ArgumentParser(
        prog="python -m models.real",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the run is kept")
    parser.add_argument("--data", type=Path, required=True, help="with points/ and archive/")
    parser.add_argument("--out", type=Path, help="ONNX file; in the run's folder if left out")
    parser.add_argument("--fold", type=int, default=0, help="that is held out, 0 to 4")
    parser.add_argument("--seed", type=int, default=0, help="of the training; landscapes stay")
    parser.add_argument("--chips", type=int, default=3000, help="landscapes to learn from")
    parser.add_argument("--held", type=int, default=96, help="to choose by, and to test on")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of a landscape")
    parser.add_argument("--model", default="lulcformer-tiny")
    parser.add_argument("--transform", default="log-indices")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    dataset, training = options.folder / "dataset", options.folder / f"seed-{options.seed}"
    bar = tqdm(desc="landscapes", total=options.chips + 2 * options.held)
    build(
        options.data,
        dataset,
        counts={"train": options.chips, "validation": options.held, "test": options.held},
        fold=options.fold,
        size=options.size,
        workers=options.workers,
        progress=lambda done, _: bar.update(done - bar.n),
    )
    bar.close()
    given = ("model", "transform", "epochs", "batch_size", "crop", "learning_rate", "average")
    train.main(
        [
            *("--data", str(dataset), "--out", str(training), "--seed", str(options.seed)),
            *("--device", options.device, "--workers", str(options.workers)),
            *(
                word
                for name in given
                for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))
            ),
            *LEARNT,
        ],
        standalone_mode=False,
    )
    name = f"{options.model}-real"
    out = options.out or options.folder / f"{name}-{options.seed}.onnx"
    finish(training / "best.pt", out, Dataset.open(dataset), name=name)


if __name__ == "__main__":
    main()
