"""Build a dataset as requested: which labels, which images, which splits."""

import logging
from pathlib import Path

from lulcmap.dataset.build import BuildResult, build
from lulcmap.dataset.dynamic_world import DynamicWorldTiles
from lulcmap.dataset.images import CompositeImages, SceneImages
from lulcmap.dataset.legend import DYNAMIC_WORLD, PLAIN, read_legend
from lulcmap.dataset.raster_labels import RasterLabels
from lulcmap.dataset.settings import DatasetRequest
from lulcmap.dataset.source import OpenArchive
from lulcmap.dataset.vector_labels import VectorLabels
from lulcmap.errors import UsageError
from lulcmap.system import Progress, check_is_file, no_progress

_RASTERS = (".tif", ".tiff", ".vrt", ".img")


logger = logging.getLogger(__name__)


def build_dataset(
    request: DatasetRequest, out: Path, *, progress: Progress = no_progress
) -> BuildResult:
    """Build a dataset, or resume one.

    Args:
        request: options of the build.
        out: folder of the dataset.
        progress: called with the progress of each stage.

    Raises:
        UsageError: the labels or the options cannot be used, or the folder was begun with others.
        NoScenesError: there is no image.
        ProviderError: the provider failed.
        OutputError: the folder cannot be used.

    """
    if not request.labels.exists():
        raise UsageError(f"No folder or file {request.labels}; check --labels.")
    if not request.labels.is_dir():
        check_is_file(request.labels, UsageError)
    if not 0 <= request.validation + request.test < 1:
        raise UsageError("--validation and --test leave nothing to train on; give smaller shares.")
    legend = None if request.classes is None else read_legend(request.classes)

    def labels_progress(done: int, total: int) -> None:
        progress("labels", done, total)

    labels: DynamicWorldTiles | RasterLabels | VectorLabels
    with OpenArchive(request.archive) as archive:
        if request.labels.is_dir():
            if request.period is not None:
                raise UsageError("Label tiles have their own days. Omit --year, --start and --end.")
            legend = legend or DYNAMIC_WORLD
            labels = DynamicWorldTiles(request.labels, legend, request.votes)
            labels.find(labels_progress)
            images: SceneImages | CompositeImages = SceneImages(archive, request.s1_days)
        else:
            if request.period is None:
                raise UsageError(
                    "The period of the labels is missing. Give --year, or --start and --end."
                )
            if legend is None:
                legend = PLAIN
                logger.warning("No --classes: the codes are read as Dynamic World's: %s.", _codes())
            if request.labels.suffix.lower() in _RASTERS:
                labels = RasterLabels(request.labels, legend)
            else:
                labels = VectorLabels(request.labels, legend, request.attribute, request.layer)
            labels.find(labels_progress)
            images = CompositeImages(archive, request.period).find(labels.samples)
        return build(
            labels,
            images,
            out,
            legend=legend,
            validation=request.validation,
            test=request.test,
            workers=request.archive.workers,
            limit=request.limit,
            progress=progress,
        )


def _codes() -> str:
    """Dynamic World's classes by code, for a note."""
    return ", ".join(f"{cover.id} {cover.name}" for cover in PLAIN.classes)
