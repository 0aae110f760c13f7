from .cache import cached_models
from .contract import METADATA_KEY, S1_INPUT, S2_INPUT, START, Contract, ModelInput, Prior
from .file import read_model
from .hints import deepness_metadata
from .image import ClassifiedImage, classify_image
from .inference import Classified, Network, bounding_box, classify, needed_windows
from .mirror import mirrored
from .registry import (
    fetch_model,
    find_model,
    list_models,
    model_card,
    models_folder,
    shipped_models,
)
from .runtime import LOG_FATAL_ONLY, first_line, has_cuda, has_driver, load_runtime
from .session import Session, open_session
from .trial import COVER_SPECTRA
from .wrap import WrappedModel, wrap_model
from .wrap_request import WrapRequest

__all__ = [
    "COVER_SPECTRA",
    "LOG_FATAL_ONLY",
    "METADATA_KEY",
    "S1_INPUT",
    "S2_INPUT",
    "START",
    "Classified",
    "ClassifiedImage",
    "Contract",
    "ModelInput",
    "Network",
    "Prior",
    "Session",
    "WrapRequest",
    "WrappedModel",
    "bounding_box",
    "cached_models",
    "classify",
    "classify_image",
    "deepness_metadata",
    "fetch_model",
    "find_model",
    "first_line",
    "has_cuda",
    "has_driver",
    "list_models",
    "load_runtime",
    "mirrored",
    "model_card",
    "models_folder",
    "needed_windows",
    "open_session",
    "read_model",
    "shipped_models",
    "wrap_model",
]
