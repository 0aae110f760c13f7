from .checkpoint import deployed_from, load_checkpoint, save_checkpoint
from .chips import ChipFolder, Chips
from .deployable import BandStatistics, Deployed, Normalisation
from .export import describe, export_onnx
from .fit import CHECKPOINT, train_network
from .log import Epoch
from .loss import focal_loss, full_size
from .lulcformer import LULCFORMER_TINY, Transform
from .networks import MODELS, build_network, config_of
from .settings import Hardware, TrainingSettings
from .tiled import checkpoint_predictor, logits_of, measure

__all__ = [
    "CHECKPOINT",
    "LULCFORMER_TINY",
    "MODELS",
    "BandStatistics",
    "ChipFolder",
    "Chips",
    "Deployed",
    "Epoch",
    "Hardware",
    "Normalisation",
    "TrainingSettings",
    "Transform",
    "build_network",
    "checkpoint_predictor",
    "config_of",
    "deployed_from",
    "describe",
    "export_onnx",
    "focal_loss",
    "full_size",
    "load_checkpoint",
    "logits_of",
    "measure",
    "save_checkpoint",
    "train_network",
]
