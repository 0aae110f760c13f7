from .augment import Sample
from .cache import ChipCache
from .checkpoint import load_checkpoint, restore_network, save_checkpoint
from .chips import ChipFolder, Chips, Samples
from .deployable import BandStatistics, DeployableNetwork, Normalisation
from .export import export_onnx
from .fit import train_network
from .folder import CHECKPOINT
from .log import Epoch
from .loss import Target, focal_loss, upsample_logits
from .lulcformer import LULCFORMER_TINY, Transform
from .mix import MixedSamples, check_legends
from .networks import NETWORKS, build_network, network_config
from .settings import Hardware, TrainingSettings
from .tiled import checkpoint_predictor, logits_of, measure

__all__ = [
    "CHECKPOINT",
    "LULCFORMER_TINY",
    "NETWORKS",
    "BandStatistics",
    "ChipCache",
    "ChipFolder",
    "Chips",
    "DeployableNetwork",
    "Epoch",
    "Hardware",
    "MixedSamples",
    "Normalisation",
    "Sample",
    "Samples",
    "Target",
    "TrainingSettings",
    "Transform",
    "build_network",
    "check_legends",
    "checkpoint_predictor",
    "export_onnx",
    "focal_loss",
    "load_checkpoint",
    "logits_of",
    "measure",
    "network_config",
    "restore_network",
    "save_checkpoint",
    "train_network",
    "upsample_logits",
]
