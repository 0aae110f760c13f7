from .cache import cached_models
from .contract import (
    ADAPTED,
    METADATA_KEY,
    S1_INPUT,
    S2_INPUT,
    START,
    SUN_SCALAR,
    SUN_ZENITH,
    Contract,
    ModelInput,
    ModelScalar,
    Prior,
    is_adapted,
)
from .device import Device
from .dynamic_world.release import DYNAMIC_WORLD
from .features import FeatureNetwork, at_pixels, open_features
from .file import is_model, read_model
from .head import Head, with_head, with_metadata
from .hints import deepness_metadata
from .image import ClassifiedImage, classify_image
from .inference import (
    Blending,
    Classified,
    Network,
    bounding_box,
    needed_windows,
)
from .mirror import mirrored
from .registry import (
    add_model,
    fetch_model,
    find_model,
    list_models,
    model_card,
    models_folder,
    shipped_models,
)
from .runtime import (
    LOG_FATAL_ONLY,
    create_inner,
    first_line,
    has_cuda,
    has_driver,
    load_runtime,
)
from .session import Session, open_session
from .soft import class_probabilities
from .sun import zenith_range
from .trial import COVER_SPECTRA, typical_pixels
from .windows import Windows, corner
from .wrap import WrappedModel, wrap_model
from .wrap_request import WrapRequest

__all__ = [
    "ADAPTED",
    "COVER_SPECTRA",
    "DYNAMIC_WORLD",
    "LOG_FATAL_ONLY",
    "METADATA_KEY",
    "S1_INPUT",
    "S2_INPUT",
    "START",
    "SUN_SCALAR",
    "SUN_ZENITH",
    "Blending",
    "Classified",
    "ClassifiedImage",
    "Contract",
    "Device",
    "FeatureNetwork",
    "Head",
    "ModelInput",
    "ModelScalar",
    "Network",
    "Prior",
    "Session",
    "Windows",
    "WrapRequest",
    "WrappedModel",
    "add_model",
    "at_pixels",
    "bounding_box",
    "cached_models",
    "class_probabilities",
    "classify_image",
    "corner",
    "create_inner",
    "deepness_metadata",
    "fetch_model",
    "find_model",
    "first_line",
    "has_cuda",
    "has_driver",
    "is_adapted",
    "is_model",
    "list_models",
    "load_runtime",
    "mirrored",
    "model_card",
    "models_folder",
    "needed_windows",
    "open_features",
    "open_session",
    "read_model",
    "shipped_models",
    "typical_pixels",
    "with_head",
    "with_metadata",
    "wrap_model",
    "zenith_range",
]
