from .augment import Sample
from .cache import ChipCache
from .checkpoint import load_checkpoint, restore_network, save_checkpoint, with_window
from .chips import ChipFolder, Chips, Samples
from .deployable import BandStatistics, DeployableNetwork, Normalisation
from .export import check_export, export_onnx
from .fine_tune import FineTuning, LabelledCrops, TunedNetwork
from .fit import train_network
from .folder import CHECKPOINT
from .initial import TrainedNetwork, load_trained
from .log import Epoch
from .loss import Target, focal_loss, upsample_logits
from .lulcformer import LULCFORMER_TINY, Transform
from .mix import MixedSamples, check_legends
from .networks import NETWORKS, NetworkConfig, build_network, network_config
from .settings import Hardware, TrainingSettings
from .temperature import with_temperature
from .tiled import checkpoint_predictor, measure, predictor_of

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
    "FineTuning",
    "Hardware",
    "LabelledCrops",
    "MixedSamples",
    "NetworkConfig",
    "Normalisation",
    "Sample",
    "Samples",
    "Target",
    "TrainedNetwork",
    "TrainingSettings",
    "Transform",
    "TunedNetwork",
    "build_network",
    "check_export",
    "check_legends",
    "checkpoint_predictor",
    "export_onnx",
    "focal_loss",
    "load_checkpoint",
    "load_trained",
    "measure",
    "network_config",
    "predictor_of",
    "restore_network",
    "save_checkpoint",
    "train_network",
    "upsample_logits",
    "with_temperature",
    "with_window",
]
