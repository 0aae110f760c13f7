"""The folder a dataset is built in: its settings, its chips one by one, its index at the end."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from lulcmap import __version__
from lulcmap.dataset.chips import (
    ABOUT,
    CHIPS,
    FORMAT,
    INDEX,
    LABEL,
    S1,
    S2,
    VOTES,
    Chip,
    read_about,
)
from lulcmap.dataset.sample import Image, Label, Sample
from lulcmap.dataset.splits import middle
from lulcmap.errors import OutputError, UsageError
from lulcmap.legend import NODATA, LandCover
from lulcmap.run import HeldError, hold_file
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.system import GDAL_OPTIONS, check_disk, parts, replacing, write_atomically

REPORT = "report.json"

_ROW = "chip.json"
"""In a chip's folder: its row, and the digest of its label."""

_LOCK = ".lock"

_FREE = ("validation", "test")
"""Settings that only decide the splits: they may change without building anew."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A dataset being built."""

    path: Path

    @property
    def chips(self) -> Path:
        """Where the chips are."""
        return self.path / CHIPS

    def done(self, sample: Sample, digest: str) -> Chip | None:
        """A finished chip's row, still without place and split; None if it is to be made.

        Args:
            sample: of the chip.
            digest: of its label now.

        """
        try:
            said: dict[str, Any] = json.loads((self.chips / sample.name / _ROW).read_bytes())
            if said.pop("digest") != digest:
                return None
            lists = {name: tuple(value) for name, value in said.items() if type(value) is list}
            return Chip(**{**said, **lists})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, sample: Sample, digest: str, label: Label, image: Image, classes: int) -> Chip:
        """Write a chip: all of it, or nothing.

        Args:
            sample: of the chip.
            digest: of its label.
            label: of the sample.
            image: of the sample.
            classes: how many the legend has.

        Returns:
            Its row, without place and split.

        Raises:
            OutputError: there is no room, or it cannot be written.

        """
        row = _row(sample, label, image, classes)
        planes: dict[str, tuple[NDArray[Any], int, Sequence[str]]] = {
            S2: (image.s2, S2_NODATA, S2_BANDS),
            S1: (image.s1, S1_NODATA, S1_BANDS),
            LABEL: (label.ids[None], NODATA, ("class",)),
        }
        if label.votes is not None:
            names = ("expert 1", "expert 2", "expert 3", "non-expert")
            planes[VOTES] = (label.votes, NODATA, names)
        check_disk(self.path, sum(pixels.nbytes for pixels, *_ in planes.values()), "a chip")
        with _writing(self.path), replacing(self.chips / sample.name) as part:
            part.mkdir()
            for name, (pixels, nodata, bands) in planes.items():
                (part / name).write_bytes(_tiff(pixels, sample, nodata, bands))
            (part / _ROW).write_bytes(_json({**asdict(row), "digest": digest}))
        return row

    def close(
        self,
        rows: Sequence[Chip],
        classes: Sequence[LandCover],
        settings: Mapping[str, Any],
        report: Mapping[str, Any],
    ) -> None:
        """Write the index and the report."""
        with _writing(self.path):
            write_atomically(self.path / ABOUT, _json(_about(classes, settings)))
            _write_index(self.path / INDEX, rows)
            write_atomically(self.path / REPORT, _json(report))


@contextmanager
def open_dataset(
    path: Path, classes: Sequence[LandCover], settings: Mapping[str, Any]
) -> Iterator[Folder]:
    """A dataset's folder, begun or gone on with, and held against other processes in the body.

    Args:
        path: of the folder; made if need be.
        classes: of the legend.
        settings: what the chips are made with, plain JSON.

    Raises:
        UsageError: it was begun with other settings, or pyarrow is not installed.
        OutputError: it is something else, cannot be written to, or another process builds there.

    """
    _need_pyarrow()
    if path.exists() and (not path.is_dir() or (not _is_ours(path) and any(path.iterdir()))):
        raise OutputError(f"{path} exists and is no dataset. Give another --out.")
    with _writing(path):
        (path / CHIPS).mkdir(parents=True, exist_ok=True)
        try:
            with hold_file(path / _LOCK):
                if (path / ABOUT).exists():
                    _check_same(path, classes, settings)
                else:
                    write_atomically(path / ABOUT, _json(_about(classes, settings)))
                for stale in parts(path / CHIPS):
                    shutil.rmtree(stale, ignore_errors=True)
                try:
                    yield Folder(path)
                except BaseException:
                    _forget(path)
                    raise
        except HeldError as error:
            raise OutputError(
                f"The dataset {path} is being built by {error}. Wait for it, or give another --out."
            ) from None


def _forget(path: Path) -> None:
    """Remove a folder in which nothing was made: there is nothing to go on from."""
    with suppress(OSError):
        (path / CHIPS).rmdir()  # only if it is empty
        (path / ABOUT).unlink()
        (path / _LOCK).unlink()
        path.rmdir()


def _is_ours(path: Path) -> bool:
    return (path / ABOUT).exists() or (path / CHIPS).is_dir()


def _about(classes: Sequence[LandCover], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "lulcmap": __version__,
        "classes": [{"name": cover.name, "colour": cover.colour} for cover in classes],
        "settings": dict(settings),
    }


def _check_same(path: Path, classes: Sequence[LandCover], settings: Mapping[str, Any]) -> None:
    """See that a begun dataset is of the same settings."""
    old_classes, begun = read_about(path)
    now = json.loads(json.dumps(settings))
    keys = sorted(key for key in {*begun, *now} - set(_FREE) if begun.get(key) != now.get(key))
    told = [f"{key} was {_short(begun.get(key))}, is {_short(now.get(key))}" for key in keys]
    if old_classes != tuple(classes):
        told.append(f"classes were {_names(old_classes)}, are {_names(classes)}")
    if told:
        raise UsageError(
            f"The dataset {path} was begun otherwise: {'; '.join(told)}. Give the old options to "
            "go on, or another --out."
        )


def _names(classes: Sequence[LandCover]) -> str:
    return _short([f"{cover.name} {cover.colour}" for cover in classes])


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _row(sample: Sample, label: Label, image: Image, classes: int) -> Chip:
    lon, lat = middle(sample.grid)
    counts = np.bincount(label.ids.ravel(), minlength=NODATA + 1)
    return Chip(
        chip=sample.name,
        place="",
        lon=round(lon, 6),
        lat=round(lat, 6),
        date=image.day.isoformat(),
        split="",
        annotator=sample.annotator,
        source=sample.source,
        s2=image.s2_ids,
        s1=image.s1_ids,
        s1_dates=image.s1_dates,
        s1_orbit=image.s1_orbit,
        epsg=sample.epsg,
        height=sample.grid.shape[0],
        width=sample.grid.shape[1],
        counts=tuple(counts[:classes].tolist()),
        unlabelled=int(counts[NODATA]),
    )


def _tiff(pixels: NDArray[Any], sample: Sample, nodata: int, bands: Sequence[str]) -> memoryview:
    """(C, H, W) as a GeoTIFF on a sample's grid."""
    count, height, width = pixels.shape
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=pixels.dtype,
            crs=f"EPSG:{sample.epsg}",
            transform=sample.grid.affine,
            nodata=nodata,
            compress="DEFLATE",
            predictor=2,
            interleave="BAND",
        ) as file:
            file.write(pixels)
            file.descriptions = tuple(bands)
        return memoryview(bytes(memory.getbuffer()))


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _write_index(path: Path, rows: Sequence[Chip]) -> None:
    import pyarrow
    import pyarrow.parquet

    text, texts = pyarrow.string(), pyarrow.list_(pyarrow.string())
    kinds = {
        **{field.name: text for field in fields(Chip)},
        **dict.fromkeys(("lon", "lat"), pyarrow.float64()),
        **dict.fromkeys(("s2", "s1", "s1_dates"), texts),
        **dict.fromkeys(("epsg", "height", "width", "unlabelled"), pyarrow.int64()),
        "counts": pyarrow.list_(pyarrow.int64()),
    }
    table = pyarrow.Table.from_pylist(
        [asdict(row) for row in sorted(rows, key=lambda row: row.chip)],
        schema=pyarrow.schema(list(kinds.items())),
    )
    with replacing(path) as part:
        pyarrow.parquet.write_table(table, part)


def placed(row: Chip, place: str, split: str) -> Chip:
    """A chip's row with its place and split."""
    return replace(row, place=place, split=split)


def _need_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "A dataset's index needs pyarrow, which is not installed: pip install 'lulcmap[train]'."
        ) from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the disk says, in one line."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise  # of a network
        raise OutputError(
            f"The dataset {path} cannot be written ({error.strerror or error}). Free some space, "
            "or name another folder with --out; then run the same command again to go on."
        ) from error
