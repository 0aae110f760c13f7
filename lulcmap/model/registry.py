"""Find models by name, shipped or fetched: their files and cards."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lulcmap
from lulcmap.errors import ModelError, UsageError
from lulcmap.model import cache
from lulcmap.model.cache import CachedModel
from lulcmap.model.dynamic_world import build, release
from lulcmap.model.file import read_model
from lulcmap.system import Steps, check_is_file, no_progress, sha256_of


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """One model of the registry."""

    name: str
    """Name of the model, as given to ``--model``."""

    path: Path
    """Path of the ONNX file."""

    sha256: str
    """Registered sha256 of the file, 64 hexadecimal digits."""

    card: Path
    """Path of the model card, Markdown: training data and quality."""

    summary: str
    """Summary of the model, one line."""

    default: bool
    """Whether the model is used if none is named."""


def models_folder() -> Path:
    """Return the folder of shipped models: in an installed package, or beside one in a checkout."""
    package = Path(lulcmap.__file__).parent
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent / "models"


def shipped_models() -> tuple[ShippedModel, ...]:
    """List the models of ``registry.json``; none if there is no such file.

    Raises:
        ModelError: the registry cannot be read.

    """
    registry = models_folder() / "registry.json"
    if not registry.is_file():
        return ()
    try:
        fields = json.loads(registry.read_text(encoding="utf-8"))
        return tuple(_entry(model, fields["default"]) for model in fields["models"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(
            f"The model registry {registry} cannot be read ({error!r}). Reinstall lulcmap."
        ) from error


def list_models() -> tuple[ShippedModel | CachedModel, ...]:
    """List the available models: those shipped, then those fetched.

    Raises:
        ModelError: the registry cannot be read.

    """
    return (*shipped_models(), *cache.cached_models())


def find_model(name_or_path: str | Path | None) -> Path:
    """Find the file of a model, and verify it if it was shipped or fetched.

    Args:
        name_or_path: name of a shipped or fetched model, or path of a file; None for the default
            model.

    Raises:
        ModelError: there is no such model or file, or the file differs from the one shipped or
            fetched.

    """
    models = {model.name: model for model in shipped_models()}
    if name_or_path is None:
        default = next((model for model in models.values() if model.default), None)
        if default is None:
            raise ModelError("This lulcmap ships no default model. Give a file: --model FILE.onnx.")
        return _verified_shipped(default)
    if str(name_or_path) in models:
        return _verified_shipped(models[str(name_or_path)])
    path = Path(name_or_path)
    if path.is_file():
        return path
    fetched = {model.name: model for model in cache.cached_models()}
    if str(name_or_path) in fetched:
        return _verified_fetched(fetched[str(name_or_path)])
    check_is_file(path, ModelError)
    if str(name_or_path) == release.DYNAMIC_WORLD.name:
        name = release.DYNAMIC_WORLD.name
        raise ModelError(f"{name} is not on this machine. Add it: lulcmap models add {name}.")
    raise ModelError(
        f"{str(name_or_path)!r} is neither a file nor an available model "
        f"({', '.join([*models, *fetched]) or 'there are none'}). See lulcmap models."
    )


def fetch_model(
    url: str,
    *,
    sha256: str,
    name: str | None = None,
    progress: Steps = no_progress,
) -> CachedModel:
    """Download a model to the cache and verify it; its name can then be used like a shipped one.

    Args:
        url: URL of the file; https, or http on this machine.
        sha256: expected sha256 of the file, 64 hexadecimal digits.
        name: name for the model, other than those of shipped models; None takes the file's.
        progress: called with the bytes downloaded and the bytes in all, 0 if unknown.

    Raises:
        UsageError: the URL, the sha256 or the name is not valid.
        ProviderError: the file cannot be downloaded.
        ModelError: the file has another sha256, or is not a usable model.
        OutputError: the file cannot be written.

    """
    taken = [*(model.name for model in shipped_models()), release.DYNAMIC_WORLD.name]
    return cache.fetch(
        url, sha256=sha256, check=read_model, name=name, taken=taken, progress=progress
    )


def add_model(
    name: str, *, folder: Path | None = None, progress: Steps = no_progress
) -> CachedModel:
    """Make a model here from weights that others released; its name can then be used.

    ``"dynamic-world"`` is the network of Google's Dynamic World, Apache-2.0. Its weights, 1 MB, are
    fetched from Google's repository; none of it is part of lulcmap.

    Args:
        name: name of the model.
        folder: folder of the released files on this machine; None downloads them.
        progress: called with the bytes downloaded and the bytes in all.

    Raises:
        UsageError: there is no such model, or the folder lacks a file.
        ProviderError: a file cannot be downloaded.
        ModelError: a file is not the released one, or the model does not pass its check.
        DeviceError: ONNX Runtime, which the check needs, is not installed.
        OutputError: the model cannot be written.

    """
    if name != release.DYNAMIC_WORLD.name:
        raise UsageError(
            f"lulcmap cannot make a model {name!r}; it can make {release.DYNAMIC_WORLD.name}."
        )
    return build.add_dynamic_world(release.DYNAMIC_WORLD, folder, progress=progress)


def model_card(name_or_path: str) -> str:
    """Read a model's card, Markdown; for a file, the one beside it with its name; empty if none."""
    cards = {model.name: model.card for model in shipped_models()}
    if not Path(name_or_path).is_file():
        cards = {model.name: model.card for model in cache.cached_models()} | cards
    path = cards.get(name_or_path, Path(name_or_path).with_suffix(".md"))
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _entry(fields: dict[str, Any], default: str) -> ShippedModel:
    return ShippedModel(
        name=fields["name"],
        path=models_folder() / fields["file"],
        sha256=fields["sha256"],
        card=models_folder() / fields["card"],
        summary=fields["summary"],
        default=fields["name"] == default,
    )


def _verified_shipped(model: ShippedModel) -> Path:
    """Return the file of a shipped model after checking its sha256."""
    if not model.path.is_file():
        raise ModelError(
            f"The file of model {model.name!r}, {model.path}, is missing. Reinstall lulcmap."
        )
    actual = sha256_of(model.path)
    if actual != model.sha256:
        raise ModelError(
            f"{model.path} is not the model {model.name!r} that was shipped: its sha256 starts "
            f"with {actual[:12]}, not {model.sha256[:12]}. Reinstall lulcmap."
        )
    return model.path


def _verified_fetched(model: CachedModel) -> Path:
    """Return the file of a fetched model after checking its sha256."""
    if sha256_of(model.path) != model.sha256:
        again = f"add {model.name}" if model.name == release.DYNAMIC_WORLD.name else "fetch"
        raise ModelError(
            f"{model.path} is no longer the model that was fetched: its sha256 differs from its "
            f"name. Remove it and fetch it again: lulcmap models {again}."
        )
    return model.path
