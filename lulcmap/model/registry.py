"""Models by their names, shipped or fetched: their files and cards."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lulcmap
from lulcmap.errors import ModelError
from lulcmap.model import cache as modelcache
from lulcmap.model.file import read_model
from lulcmap.system import Steps, no_progress


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """One model of the registry."""

    name: str
    """As given to ``--model``."""

    path: Path
    """The ONNX file."""

    sha256: str
    """Of the file, 64 hexadecimal digits."""

    card: Path
    """What it was made from and how good it is, Markdown."""

    summary: str
    """One line."""

    default: bool
    """Whether it is taken where none is named."""


def models_folder() -> Path:
    """Where the shipped models are: inside an installed package, beside an editable checkout's."""
    package = Path(lulcmap.__file__).parent
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent / "models"


def shipped_models() -> tuple[ShippedModel, ...]:
    """The models of ``registry.json``; none where there is no such file.

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
            f"The registry of models {registry} cannot be read ({error!r}). Install lulcmap again."
        ) from error


def list_models() -> tuple[ShippedModel | modelcache.CachedModel, ...]:
    """The models that can be named: those shipped, then those fetched.

    Raises:
        ModelError: the registry cannot be read.

    """
    return (*shipped_models(), *modelcache.cached_models())


def find_model(name_or_path: str | Path | None) -> Path:
    """The file of a model.

    Args:
        name_or_path: the name of a shipped or a fetched model, or a file; None is the registry's
            default.

    Raises:
        ModelError: there is no such model or file, or it is not the one that was shipped or
            fetched.

    """
    models = {model.name: model for model in shipped_models()}
    if name_or_path is None:
        found = next((model for model in models.values() if model.default), None)
        if found is None:
            raise ModelError("This lulcmap ships no default model. Give a file: --model FILE.onnx.")
        return _verified_shipped(found)
    if str(name_or_path) in models:
        return _verified_shipped(models[str(name_or_path)])
    path = Path(name_or_path)
    if path.is_file():
        return path
    fetched = {model.name: model for model in modelcache.cached_models()}
    if str(name_or_path) in fetched:
        return _verified_fetched(fetched[str(name_or_path)])
    raise ModelError(
        f"{str(name_or_path)!r} is neither a file nor a model that is here "
        f"({', '.join([*models, *fetched]) or 'there is none'}). See lulcmap models."
    )


def fetch_model(
    url: str,
    *,
    sha256: str,
    name: str | None = None,
    progress: Steps = no_progress,
) -> modelcache.CachedModel:
    """Bring a model from a URL into the cache, verified; as of ``modelcache.fetch``."""
    taken = [model.name for model in shipped_models()]
    return modelcache.fetch(
        url, sha256=sha256, check=read_model, name=name, taken=taken, progress=progress
    )


def model_card(name_or_path: str) -> str:
    """A model's card, Markdown; for a file the one of the same name beside it; empty if none."""
    path = next(
        (model.card for model in shipped_models() if model.name == name_or_path),
        Path(name_or_path).with_suffix(".md"),
    )
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
    """The file of a shipped model, if it is the very one that was shipped."""
    if not model.path.is_file():
        raise ModelError(
            f"The file of model {model.name!r}, {model.path}, is missing. Install lulcmap again."
        )
    found = modelcache.sha256_of(model.path)
    if found != model.sha256:
        raise ModelError(
            f"{model.path} is not the model {model.name!r} that was shipped: its sha256 begins "
            f"{found[:12]}, registered is {model.sha256[:12]}. Install lulcmap again."
        )
    return model.path


def _verified_fetched(model: modelcache.CachedModel) -> Path:
    """The file of a fetched model, if it is still what was fetched."""
    if modelcache.sha256_of(model.path) != model.sha256:
        raise ModelError(
            f"{model.path} is no longer the model that was fetched: its sha256 is another than its "
            "name says. Remove it, and fetch it again: lulcmap models fetch."
        )
    return model.path
