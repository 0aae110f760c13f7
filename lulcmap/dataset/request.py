"""A dataset as it is asked for: which labels, which images, which splits."""

from dataclasses import dataclass, field
from pathlib import Path

from lulcmap.catalog import Period
from lulcmap.dataset.build import BuildResult, build
from lulcmap.dataset.dynamic_world import Tiles
from lulcmap.dataset.images import Composites, TileImages
from lulcmap.dataset.legend import DYNAMIC_WORLD, PLAIN, read_legend
from lulcmap.dataset.raster_labels import RasterLabels
from lulcmap.dataset.source import Archive, ImageArchive
from lulcmap.dataset.vector_labels import VectorLabels
from lulcmap.errors import UsageError
from lulcmap.system import Progress, no_progress

_RASTERS = (".tif", ".tiff", ".vrt", ".img")


@dataclass(frozen=True)
class DatasetRequest:
    """What is asked for. The defaults are the command's."""

    labels: Path
    """A folder of Dynamic World's tiles, or a raster or vector file."""

    source: ImageArchive = field(default_factory=ImageArchive)
    """Of the images."""

    classes: Path | None = None
    """CSV file of the legend; None is Dynamic World's."""

    votes: str = "consensus"
    """Scheme by which the hold-out's votes become one label."""

    s1_days: int = 180
    """Days of Sentinel-1 on either side of a tile's day."""

    period: Period | None = None
    """Of the composites, for a raster or vector file."""

    attribute: str = "code"
    """Of a vector file, with the code."""

    layer: str | None = None
    """Of a vector file, where it has several."""

    validation: float = 0.1
    """Share of the places that training is stopped by."""

    test: float = 0.0
    """Share of the places to test with, besides the hold-out."""

    limit: int | None = None
    """Most chips."""


def build_dataset(
    request: DatasetRequest, out: Path, *, progress: Progress = no_progress
) -> BuildResult:
    """Build a dataset, or go on with one.

    Args:
        request: what is asked for.
        out: the dataset's folder.
        progress: told how far each stage is.

    Raises:
        UsageError: the labels or the options cannot be used, or the folder is of other ones.
        NoScenesError: there is no image.
        ProviderError: the provider failed.
        OutputError: the folder cannot be used.

    """
    if not request.labels.exists():
        raise UsageError(f"There is no {request.labels}; --labels takes a folder or a file.")
    if not 0 <= request.validation + request.test < 1:
        raise UsageError("--validation and --test leave nothing to learn from; give smaller ones.")
    legend = None if request.classes is None else read_legend(request.classes)

    def found(done: int, total: int) -> None:
        progress("labels", done, total)

    labels: Tiles | RasterLabels | VectorLabels
    with Archive(request.source) as archive:
        if request.labels.is_dir():
            if request.period is not None:
                raise UsageError(
                    "Label tiles have their own days. Leave --year, --start and --end out."
                )
            legend = legend or DYNAMIC_WORLD
            labels = Tiles(request.labels, legend, request.votes)
            labels.find(found)
            images: TileImages | Composites = TileImages(archive, request.s1_days)
        else:
            if request.period is None:
                raise UsageError("Of which time are the labels? Give --year, or --start and --end.")
            legend = legend or PLAIN
            if request.labels.suffix.lower() in _RASTERS:
                labels = RasterLabels(request.labels, legend)
            else:
                labels = VectorLabels(request.labels, legend, request.attribute, request.layer)
            labels.find(found)
            images = Composites(archive, request.period).find(labels.samples)
        return build(
            labels,
            images,
            out,
            legend=legend,
            validation=request.validation,
            test=request.test,
            workers=request.source.workers,
            limit=request.limit,
            progress=progress,
        )
