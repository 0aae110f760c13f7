"""The options of ``lulcmap train`` to start from a trained network."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lulcmap.training import NetworkConfig, TrainedNetwork

F = TypeVar("F", bound=Callable[..., Any])

_SHAPE = ("model", "modalities", "allocation", "dmem", "mmam", "transform")
"""Parameters that decide the shape of the network."""


def init_options(function: F) -> F:
    """``--init`` and ``--new-normalisation``."""
    new = click.option(
        "--new-normalisation",
        is_flag=True,
        help="With --init: standardise by these chips, not as the model was.",
    )
    init = click.option(
        "--init",
        metavar="MODEL",
        help="Start from a trained network: a checkpoint, an exported ONNX file, or a name from "
        "`lulcmap models`. Without options for another, its shape is taken too.",
    )
    return init(new(function))


def load_init(init: str | None, *, new_normalisation: bool, out: Path) -> "TrainedNetwork | None":
    """Load the network to start from.

    Raises:
        UsageError: it is a checkpoint that the training would replace, or there is none to
            normalise otherwise.
        ModelError: it cannot be used.

    """
    from lulcmap.errors import UsageError
    from lulcmap.training import load_trained

    if init is None:
        if new_normalisation:
            raise UsageError("--new-normalisation is for a training with --init. Leave it out.")
        return None
    if Path(init).is_file() and Path(init).resolve().parent == out.resolve():
        raise UsageError(
            f"--init {init} lies in --out, where the training replaces it. Give another --out, or "
            "leave out --init to resume the training there."
        )
    trained = load_trained(init)
    return replace(trained, normalisation=None) if new_normalisation else trained


def network_to_train(
    ctx: click.Context,
    start: "TrainedNetwork | None",
    model: str,
    *,
    classes: int,
    **shape: Any,
) -> "NetworkConfig":
    """The shape of the network: as the options say, or as that of the network to start from.

    Args:
        ctx: context of the command.
        start: network to start from.
        model: name of the network.
        classes: number of classes.
        shape: keywords of ``network_config``.

    """
    from lulcmap.training import network_config

    given = [
        name
        for name in _SHAPE
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if start is not None and not given:
        return replace(start.config, classes=classes)
    return network_config(model, classes=classes, **shape)


def describe_start(start: "TrainedNetwork", names: Sequence[str]) -> str:
    """What a training keeps of the network it starts from, in one line."""
    kept = start.kept_classes(names)
    new = [name for name in names if name not in kept]
    fresh = f"; {', '.join(new)} start{'s' * (len(new) == 1)} at random" if new else ""
    return (
        f"Starts from {start.name}: {len(kept)} of {len(names)} classes keep their weights{fresh}"
    )
