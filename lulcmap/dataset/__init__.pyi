from .build import BuildResult
from .check import CheckResult, check_dataset
from .chips import Chip, Dataset
from .request import DatasetRequest, build_dataset
from .sample import Image, Label, Sample
from .source import ImageArchive
from .votes import vote
from .writer import open_dataset, placed

__all__ = [
    "BuildResult",
    "CheckResult",
    "Chip",
    "Dataset",
    "DatasetRequest",
    "Image",
    "ImageArchive",
    "Label",
    "Sample",
    "build_dataset",
    "check_dataset",
    "open_dataset",
    "placed",
    "vote",
]
