from .arrays import write_chips
from .build import BuildResult
from .check import CheckResult, check_dataset
from .chips import Chip, Dataset
from .glimpses import GLIMPSE_BANDS, Glimpse, glimpse_bounds, open_glimpses
from .legend import read_legend
from .pixels import Pixels
from .request import build_dataset
from .sample import Label, Sample
from .sets import LabelSet, check_sets, label_sets, set_members
from .settings import DatasetRequest, ImageArchive, LabelRequest, Scheme
from .teacher import LabelResult, label_scenes
from .votes import merge_votes
from .writer import dataset_writer

__all__ = [
    "GLIMPSE_BANDS",
    "BuildResult",
    "CheckResult",
    "Chip",
    "Dataset",
    "DatasetRequest",
    "Glimpse",
    "ImageArchive",
    "Label",
    "LabelRequest",
    "LabelResult",
    "LabelSet",
    "Pixels",
    "Sample",
    "Scheme",
    "build_dataset",
    "check_dataset",
    "check_sets",
    "dataset_writer",
    "glimpse_bounds",
    "label_scenes",
    "label_sets",
    "merge_votes",
    "open_glimpses",
    "read_legend",
    "set_members",
    "write_chips",
]
