r"""Train ``lulcformer`` on a GPU machine in ten minutes.

    python -m recipes.real_land.gpu pack pack.xz --data ../shared/data --labels LABELS_FOLDER
    python -m recipes.real_land.gpu train pack.xz --out OUT_FOLDER --minutes 7.5
    python -m recipes.real_land.gpu join OUT_FOLDER checkpoint.pt

``train`` may be stopped and rerun: it resumes from its state file. A later one with the parts of an
earlier one in its OUT_FOLDER starts from those.
"""

import argparse
from dataclasses import fields
from pathlib import Path


def main() -> None:
    """Pack, train or join."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.real_land.gpu",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="write the pack; needs the data")
    pack.add_argument("pack", type=Path)
    pack.add_argument("--data", type=Path, required=True)
    pack.add_argument("--labels", type=Path, required=True)
    train = commands.add_parser("train", help="train from a pack; needs no data")
    train.add_argument("pack", type=Path)
    train.add_argument("--out", type=Path, required=True, help="folder of what comes back")
    train.add_argument("--state", type=Path, default=Path("/tmp/lulcmap-gpu/state.pt"))
    _add_plan(train)
    join = commands.add_parser("join", help="make a checkpoint of the parts")
    join.add_argument("out", type=Path)
    join.add_argument("checkpoint", type=Path)
    options = parser.parse_args()
    if options.command == "pack":
        _pack(options)
    elif options.command == "train":
        _train(options)
    else:
        _join(options)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    from recipes.real_land.gpu.train import Plan

    for field in fields(Plan):
        value = field.default
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(value), default=value)


def _pack(options: argparse.Namespace) -> None:
    from recipes.real_land.gpu.pack import write_pack

    write_pack(options.data, options.labels, options.pack)
    print(f"{options.pack}: {options.pack.stat().st_size / 1e6:.1f} MB")


def _train(options: argparse.Namespace) -> None:
    from recipes.real_land.gpu.train import Plan, train

    plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    train(options.pack, options.out, options.state, plan)


def _join(options: argparse.Namespace) -> None:
    from recipes.real_land.gpu.joined import join

    join(options.out, options.checkpoint)


if __name__ == "__main__":
    main()
