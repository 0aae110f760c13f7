"""A trained network that a training starts from: a checkpoint, or an exported model file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lulcmap.errors import ModelError, UsageError
from lulcmap.geo import Lattice
from lulcmap.legend import CLASSES
from lulcmap.model import ADAPTED, START, find_model, is_adapted, open_session, read_model
from lulcmap.sensors import S1_BANDS, S2_BANDS
from lulcmap.system import sha256_of
from lulcmap.training.batch_norm import set_statistics
from lulcmap.training.checkpoint import load_checkpoint, restore_network
from lulcmap.training.deployable import BandStatistics, DeployableNetwork, Normalisation
from lulcmap.training.export_check import CHECK_SHAPES, check_same_map, compare_with_torch
from lulcmap.training.lulcformer import MULTIPLE
from lulcmap.training.networks import Network, NetworkConfig, build_network, config_from_json
from lulcmap.training.onnx_weights import OnnxWeights, read_onnx_weights

_CHECKPOINT = ".pt"

_LARGEST = 2**16
"""A number beyond the shape of any network."""

_NOT_SHAPE = {"name", "classes"}
"""Fields of a config that may differ between two networks of one shape."""

_HEAD = ("decoder.classify.", "classify.")
"""What the names of the weights begin with that have a row for each class."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, to start another training from."""

    name: str
    """Name of the model."""

    sha256: str
    """Sha256 of its file, 64 hexadecimal digits."""

    config: NetworkConfig
    """Shape of the network."""

    classes: tuple[str, ...]
    """Names of its classes, in the order of its logits."""

    normalisation: Normalisation | None
    """How its inputs are standardised, where a sensor that is not has no statistics; None to take
    the normalisation from the chips instead."""

    state: Mapping[str, Tensor]
    """Its weights."""

    lacks_statistics: bool = False
    """Whether the statistics of its batch norms are unknown, to be measured on chips."""

    window: int | None = None
    """Side of the windows that it maps in, pixels; None for the default."""

    is_adapted: bool = False
    """Whether it was adapted to labels, or started from one that was: they must not judge it."""

    def origin(self) -> dict[str, Any]:
        """What a checkpoint and a card tell of the network, plain JSON."""
        normalisation = "of the chips" if self.normalisation is None else "kept"
        told = {"name": self.name, "sha256": self.sha256, "normalisation": normalisation}
        return {**told, ADAPTED: True} if self.is_adapted else told

    def check_fits(self, config: NetworkConfig) -> None:
        """Check that a network to train has the same shape, other classes aside.

        Raises:
            UsageError: it has not; the message names the differences.

        """
        own, other = _shape_of(self.config), _shape_of(config)
        if own["kind"] != other["kind"]:
            own, other = {"kind": own["kind"]}, {"kind": other["kind"]}
        differences = [
            f"{key}: {own.get(key)} in it, {other.get(key)} to train"
            for key in sorted({*own, *other})
            if own.get(key) != other.get(key)
        ]
        if differences:
            raise UsageError(
                f"--init {self.name} is another network ({'; '.join(differences)}). Give --model, "
                "--modalities and the other options of its shape as it has them, or leave them "
                "all out to take its own."
            )

    def kept_classes(self, names: Sequence[str]) -> tuple[str, ...]:
        """The classes of a legend that the network knows by name."""
        return tuple(name for name in names if name in self.classes)

    def load_into(self, network: Network, names: Sequence[str]) -> None:
        """Give a new network the weights.

        Classes of the same name keep theirs, wherever they are in the legend; other classes keep
        the random ones of the new network.

        Args:
            network: network of the same shape.
            names: names of its classes.

        """
        state, fresh = dict(self.state), network.state_dict()
        for key in state:
            if key.startswith(_HEAD):
                rows = fresh[key].clone()
                for row, name in enumerate(names):
                    if name in self.classes:
                        rows[row] = self.state[key][self.classes.index(name)]
                state[key] = rows
        network.load_state_dict(state)


def load_trained(model: str | Path) -> TrainedNetwork:
    """Load a network to start a training from.

    Args:
        model: path of a checkpoint or of a model file, or the name of a model.

    Raises:
        ModelError: there is no such model, or it is none that lulcmap can train.
        DeviceError: onnx or ONNX Runtime is not installed.

    """
    path = Path(model)
    if path.suffix.lower() == _CHECKPOINT:
        return _of_checkpoint(path)
    return _of_model_file(find_model(model))


def _shape_of(config: NetworkConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in _NOT_SHAPE}


def _of_checkpoint(path: Path) -> TrainedNetwork:
    saved = load_checkpoint(path)
    network = restore_network(saved).network
    classes = saved.get("classes") or [(cover.name, cover.colour) for cover in CLASSES]
    return TrainedNetwork(
        name=network.config.name,
        sha256=sha256_of(path),
        config=network.config,
        classes=tuple(name for name, _ in classes),
        normalisation=Normalisation.from_dict(saved["normalisation"]),
        state=network.state_dict(),
        window=saved.get("window"),
        is_adapted=is_adapted(saved.get("training", {})),
    )


def _of_model_file(path: Path) -> TrainedNetwork:
    """The network of an exported file, whose logits are compared with those of the file."""
    file = read_model(path)
    contract, start = file.contract, file.contract.training.get(START, {})
    config = _config_of(contract.name, contract.training.get("network"))
    if config.classes != len(contract.classes):
        raise _refused(contract.name, f"its network has {config.classes} classes")
    weights = read_onnx_weights(file.data, config)
    network = build_network(config).eval()
    network.load_state_dict(weights.state)
    lacks_statistics = weights.lacks_statistics and not set_statistics(
        network, start.get("batch_norm") if isinstance(start, Mapping) else None
    )
    deployable = DeployableNetwork(network, _normalisation_of(start, weights, network)).eval()
    session = open_session(path, device="cpu")
    checks = compare_with_torch(deployable, session.run, shapes=CHECK_SHAPES[:1])
    try:
        check_same_map(checks, precision=contract.precision)
    except ModelError as error:
        raise _refused(contract.name, "its weights do not give the logits of the file") from error
    return TrainedNetwork(
        name=contract.name,
        sha256=file.sha256,
        config=config,
        classes=contract.classes,
        normalisation=deployable.normalisation,
        state=network.state_dict(),
        lacks_statistics=lacks_statistics,
        window=_window_of(contract.lattice),
        is_adapted=is_adapted(contract.training),
    )


def _window_of(lattice: Lattice) -> int | None:
    """Side of the windows of a model file; None for the default, and for what no network takes."""
    return None if lattice == Lattice() or lattice.size % MULTIPLE else lattice.size


def _refused(name: str, reason: str) -> ModelError:
    return ModelError(
        f"A training cannot start from model {name!r}: {reason}. Give a model exported by lulcmap "
        "export-onnx, or a training's checkpoint."
    )


def _config_of(name: str, fields: Any) -> NetworkConfig:
    """The shape of an exported network, if it can be built."""
    if not isinstance(fields, Mapping):
        raise _refused(name, "it is no network that lulcmap trains")
    numbers = [
        number
        for value in fields.values()
        for number in (value if isinstance(value, list) else [value])
        if type(number) in (int, float)
    ]
    depths = fields.get("depths", [])
    try:
        if not all(0 <= number < _LARGEST for number in numbers) or sum(depths) > _LARGEST:
            raise ValueError("a number is out of range")
        config = config_from_json(fields)
        with torch.device("meta"):  # nothing is allocated
            build_network(config)
    except (TypeError, KeyError, ValueError, ArithmeticError, RuntimeError, IndexError) as error:
        raise _refused(name, "the shape of its network is not one of this version") from error
    return config


def _normalisation_of(start: Any, weights: OnnxWeights, network: Network) -> Normalisation:
    """The normalisation of an exported network: as its contract says, or else its graph."""
    try:
        said = Normalisation.from_dict(start["normalisation"])
    except (KeyError, TypeError, AttributeError, ValueError):
        said = Normalisation(s2=weights.sensors.get("s2"), s1=weights.sensors.get("s1"))
    transformed = network.config.transform != "standardised"
    return replace(
        said,
        s2=_checked(said.s2, len(S2_BANDS), "s2" in network.inputs and not transformed),
        s1=_checked(said.s1, len(S1_BANDS), "s1" in network.inputs),
    )


def _checked(
    statistics: BandStatistics | None, n_bands: int, needed: bool
) -> BandStatistics | None:
    """Statistics of a sensor; None if they are none and are not needed."""
    fits = statistics is not None and all(
        len(values) == n_bands and all(type(v) in (int, float) and math.isfinite(v) for v in values)
        for values in asdict(statistics).values()
    )
    if fits and statistics is not None and 0 not in statistics.std:
        return statistics
    if needed:
        raise ModelError(
            "The model file does not tell how its network's inputs are standardised. Export it "
            "again with lulcmap export-onnx."
        )
    return None
