from .build import BuildResult
from .check import CheckResult, check_dataset
from .chips import Chip, Dataset
from .legend import read_legend
from .request import build_dataset
from .sample import Image, Label, Sample
from .settings import DatasetRequest, ImageArchive, LabelRequest, Scheme
from .teacher import LabelResult, label_scenes
from .votes import merge_votes
from .writer import dataset_writer

__all__ = [
    "BuildResult",
    "CheckResult",
    "Chip",
    "Dataset",
    "DatasetRequest",
    "Image",
    "ImageArchive",
    "Label",
    "LabelRequest",
    "LabelResult",
    "Sample",
    "Scheme",
    "build_dataset",
    "check_dataset",
    "dataset_writer",
    "label_scenes",
    "merge_votes",
    "read_legend",
]
