"""Export checkpoints to ONNX: one file with its contract, compared with torch before it is kept."""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim

from lulcmap.errors import DeviceError, ModelError, OutputError
from lulcmap.model import (
    LOG_FATAL_ONLY,
    METADATA_KEY,
    START,
    create_inner,
    deepness_metadata,
    is_model,
    load_runtime,
)
from lulcmap.system import check_destination, check_ours, replacing
from lulcmap.training.baselines import UNet
from lulcmap.training.batch_norm import batch_norm_statistics
from lulcmap.training.card import is_card, model_card
from lulcmap.training.checkpoint import contract_of, json_values, restore_network
from lulcmap.training.deployable import DeployableNetwork, OneSensor
from lulcmap.training.export_check import (
    ExportCheck,
    check_same_map,
    compare_with_torch,
    composites,
)
from lulcmap.training.lulcformer import MULTIPLE, Decoder

OPSET = 20
"""ONNX opset; 20 is the first with GELU as one operator."""

_EXPORTER_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """An exported model file and its comparison with torch."""

    path: Path
    """Path of the ONNX file."""

    card: Path
    """Path of the model card beside it, Markdown."""

    checks: tuple[ExportCheck, ...]
    """Comparisons made; all passed."""


def export_onnx(
    checkpoint: dict[str, Any],
    out: Path,
    *,
    name: str | None = None,
    fp16: bool = False,
    overwrite: bool = False,
) -> ExportedModel:
    """Write a trained network as an ONNX file, and its model card beside it.

    Takes one to four minutes. The same checkpoint and software give the same bytes.

    Args:
        checkpoint: checkpoint, as read by ``load_checkpoint``.
        out: path of the file to write; its card gets the suffix ``.md``.
        name: name of the model; the network's name if None.
        fp16: use half precision for weights, and for the arithmetic after the normalisation.
        overwrite: whether to replace ``out`` and its card if they exist.

    Raises:
        ModelError: the weights do not fit the network, or ONNX Runtime gives other classes than
            torch. Nothing is written.
        DeviceError: onnx, onnxscript or ONNX Runtime is not installed.
        OutputError: a file exists or is none that lulcmap wrote, or cannot be written.

    """
    onnx, ort = _load_onnx(), load_runtime()
    card = check_export(out, overwrite=overwrite)
    deployable = restore_network(checkpoint)
    contract = contract_of(checkpoint, name=name, precision="fp16" if fp16 else "fp32")
    contract = replace(contract, training={**contract.training, START: start_of(deployable)})
    contract.check()  # a name that no map can carry
    model = trace(fold_decoder(deployable, fp16=fp16))
    metadata = {METADATA_KEY: contract.to_json(), **deepness_metadata(contract)}
    onnx.helper.set_model_props(model, metadata)
    data: bytes = model.SerializeToString(deterministic=True)
    checks = compare_with_torch(deployable, _onnx_runner(ort, data))
    check_same_map(checks, precision=contract.precision)
    # lulcmap runs a leaner graph of the same function on the CPU
    leaner = _run_of(create_inner(ort, data, out, lean=True))
    check_same_map(compare_with_torch(deployable, leaner), precision=contract.precision)
    card_text = model_card(contract, checkpoint, checks=[check.describe() for check in checks])
    _write_all({out: data, card: card_text.encode()})  # renamed from the last to the first
    return ExportedModel(out, card, tuple(checks))


def check_export(out: Path, *, overwrite: bool) -> Path:
    """Check that a model file and its card may be written; the path of the card.

    Raises:
        OutputError: they may not: one exists, or is none that lulcmap wrote.

    """
    card = out.with_suffix(".md")
    for path, is_ours, kind in (
        (out, is_model, "a model"),
        (card, is_card, "the card of a model"),
    ):
        check_destination(path, parents=True)
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists. Give another --out, or --overwrite.")
        check_ours(path, is_ours, kind=kind)
    return card


def start_of(deployable: DeployableNetwork) -> dict[str, Any]:
    """What the graph does not keep, and a training that starts from the file needs."""
    return {
        "normalisation": json_values(deployable.normalisation.to_dict()),
        "batch_norm": batch_norm_statistics(deployable.network),
    }


def fold_decoder(deployable: DeployableNetwork, *, fp16: bool) -> DeployableNetwork:
    """A copy whose decoder has one linear layer per stage; the normalisation stays fp32."""
    copied = copy.deepcopy(deployable).eval()
    if not isinstance(copied.network, UNet) and isinstance(copied.network.decoder, Decoder):
        copied.network.decoder = copied.network.decoder.folded()
    if fp16:
        copied.network.half()
    return copied


def trace(deployable: DeployableNetwork) -> Any:
    """The module as an ``onnx.ModelProto``: any batch size, rows and columns multiples of 32.

    What the exporter records about this machine (paths, stack traces) is removed.
    """
    images, rows, cols = Dim("images"), Dim("rows"), Dim("cols")
    axes = {0: images, 2: MULTIPLE * rows, 3: MULTIPLE * cols}
    s2, s1 = composites((2, 4 * MULTIPLE, 5 * MULTIPLE), seed=0)
    pixels = {"s2": torch.from_numpy(s2), "s1": torch.from_numpy(s1)}
    sensors = deployable.inputs
    with _quiet_exporter():
        program = torch.onnx.export(
            deployable if len(sensors) == 2 else OneSensor(deployable),
            tuple(pixels[name] for name in sensors),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(sensors),
            output_names=["logits"],
            dynamic_shapes=(axes,) * len(sensors),
            verbose=False,
        )
    if program is None:
        raise ModelError("torch returned no ONNX program. Use torch 2.6 or newer.")
    model = program.model_proto
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")
    # The runtime infers types between nodes; the exporter's contain expressions of the sizes.
    graph.ClearField("value_info")
    return model


def _load_onnx() -> ModuleType:
    """The module ``onnx``, if everything torch's exporter needs is installed."""
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch's exporter needs it, with a less clear message
    except ImportError as error:
        raise DeviceError(
            f"Exporting needs {error.name}. Install it: pip install 'lulcmap[train]'."
        ) from error
    return onnx


def _onnx_runner(
    ort: ModuleType, data: bytes
) -> Callable[[NDArray[np.uint16], NDArray[np.int16]], NDArray[np.floating[Any]]]:
    options = ort.SessionOptions()
    options.log_severity_level = LOG_FATAL_ONLY
    return _run_of(ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]))


def _run_of(
    session: Any,
) -> Callable[[NDArray[np.uint16], NDArray[np.int16]], NDArray[np.floating[Any]]]:
    def run(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.floating[Any]]:
        composites_of = {"s2": s2, "s1": s1}
        inputs = {one.name: composites_of[one.name] for one in session.get_inputs()}
        logits: NDArray[np.floating[Any]] = session.run(["logits"], inputs)[0]
        return logits

    return run


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide the exporter's messages about its internals; errors still show."""
    loggers = [logging.getLogger(name) for name in _EXPORTER_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _write_all(files: dict[Path, bytes]) -> None:
    """Write all files or none: each under a temporary name before any is renamed."""
    try:
        with ExitStack() as stack:
            for path, data in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(replacing(path)).write_bytes(data)
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be written: {error.strerror}.") from error
