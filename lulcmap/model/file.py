"""Read a model file without a runtime: its bytes and its contract."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from lulcmap.errors import ModelError
from lulcmap.model.contract import METADATA_KEY, Contract
from lulcmap.model.protobuf import read_metadata, refers_outside
from lulcmap.system import check_is_file


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model file, as it was when it was read."""

    path: Path
    """Path of the file."""

    data: bytes = field(repr=False)
    """Content of the file."""

    sha256: str
    """Sha256 of ``data``, 64 hexadecimal digits."""

    contract: Contract
    """Contract of the model; checked: lulcmap can map with it."""

    @property
    def is_exported(self) -> bool:
        """Whether lulcmap's exporter wrote the graph, rather than another program."""
        return "network" in self.contract.training


def read_model(path: Path) -> ModelFile:
    """Read a model file and check its contract.

    Args:
        path: path of the ONNX file.

    Raises:
        ModelError: the file does not exist, is not ONNX, refers to other files, or has no contract
            or one that does not fit.

    """
    data, metadata = read_onnx(path)
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{path} has no contract: its metadata has no key {METADATA_KEY!r}. "
            "Give it one (lulcmap models wrap), or a model exported by lulcmap export-onnx."
        )
    contract = Contract.from_json(metadata[METADATA_KEY])
    contract.check()
    return ModelFile(path, data, hashlib.sha256(data).hexdigest(), contract)


def is_model(path: Path) -> bool:
    """Whether a file is a model with a contract that lulcmap can map with."""
    try:
        read_model(path)
    except ModelError:
        return False
    return True


def read_onnx(path: Path) -> tuple[bytes, dict[str, str]]:
    """Read the bytes and the metadata of an ONNX file that is safe to load.

    Args:
        path: path of the ONNX file.

    Raises:
        ModelError: the file does not exist, is not ONNX, or refers to other files.

    """
    check_is_file(path, ModelError)
    if not path.is_file():
        raise ModelError(f"No model file {path}. For the names of models, see lulcmap models.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"Model file {path} cannot be read: {error.strerror}.") from error
    try:
        metadata = read_metadata(memoryview(data))
        external = refers_outside(memoryview(data))
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not an ONNX model ({error}). Give a model exported by lulcmap export-onnx."
        ) from error
    if external:
        raise ModelError(
            f"{path} keeps weights in another file; lulcmap reads only models of one file. "
            "Export it again with the weights inside (external_data=False)."
        )
    return data, metadata
