"""One file of everything that a training elsewhere needs: tiles, points, and what is judged."""

import io
import json
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from recipes.real_land.atmosphere import Sky
from recipes.real_land.gpu.codes import s1_codes, s1_of, s2_codes, s2_of
from recipes.real_land.judged import Judged, View
from recipes.real_land.points import POINTS_FILE
from recipes.real_land.regional_points import AFRICA_FILE, LESOTHO_FILE

JUDGED = ("denmark", "ontario", "by eye", "by eye, marsh", "held-out places")
"""Suites that travel; scenes larger than ``MAX_JUDGED_PX`` stay."""

MAX_JUDGED_PX = 300_000
"""Without the large scenes the pack stays small enough to travel beside the repository."""

TILE_PX = 128
"""Side that every tile is mirrored to, pixels."""

Tiles = dict[str, NDArray[Any]]
"""``s2`` (N, 9, H, W) uint16, ``s1`` (N, 2, H, W) int16, ``label`` (N, H, W), ``probabilities``
(N, 9, H, W) and ``weight`` (N, H, W) uint8 percent."""


def write_pack(data: Path, labels: Path, out: Path) -> None:
    """Write the pack: labelled tiles with nearest 20 m bands, points, and judged images."""
    from recipes.real_land.labelled import labelled_tiles
    from recipes.real_land.suites import all_suites

    arrays: dict[str, NDArray[Any]] = {}
    tiles = [tile for tile in labelled_tiles(data, labels) if not tile.name.endswith("smooth")]
    arrays["tiles_s2"] = s2_codes(np.stack([_squared(tile.scene.s2) for tile in tiles]))
    arrays["tiles_s1"] = s1_codes(np.stack([_squared(tile.scene.s1) for tile in tiles]))
    soft = np.stack([_squared(tile.label.probabilities) for tile in tiles])
    weight = np.stack([_squared(tile.label.weight) for tile in tiles])
    # the teacher works at 20 m, so nothing is lost
    arrays["tiles_probabilities"] = np.rint(100 * _halved(soft)).astype(np.uint8)
    arrays["tiles_weight"] = np.rint(100 * weight).astype(np.uint8)
    for name in (POINTS_FILE, LESOTHO_FILE, AFRICA_FILE):
        arrays[f"points/{name}"] = np.frombuffer((data / "points" / name).read_bytes(), np.uint8)
    described = []
    for suite in all_suites(data, labels, with_made=False):
        for image in suite.images if suite.name in JUDGED else ():
            if image.kind.size <= MAX_JUDGED_PX:
                arrays |= _of_judged(f"judged/{len(described)}", image)
                described.append(_description(suite.name, image))
    arrays["judged"] = np.frombuffer(json.dumps(described).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's own stub takes no mapping
    out.write_bytes(lzma.compress(buffer.getvalue(), preset=6))


def _of_judged(key: str, image: Judged) -> dict[str, NDArray[Any]]:
    return {
        f"{key}/s2": s2_codes(image.view.s2),
        f"{key}/s1": s1_codes(image.view.s1),
        f"{key}/kind": image.kind,
    }


def _description(suite: str, image: Judged) -> dict[str, Any]:
    return {
        "suite": suite,
        "name": image.name,
        "kinds": [[name, list(ids)] for name, ids in image.kinds],
        "sky": asdict(image.view.sky),
    }


def _squared(planes: NDArray[Any]) -> NDArray[Any]:
    """Planes (..., H, W) mirrored to a square tile."""
    edges = [(0, 0)] * (planes.ndim - 2) + [(0, TILE_PX - side) for side in planes.shape[-2:]]
    return np.pad(planes, edges, mode="symmetric")


def _halved(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels."""
    shape = planes.shape
    paired = planes.reshape(*shape[:-2], shape[-2] // 2, 2, shape[-1] // 2, 2)
    means: NDArray[np.float32] = paired.mean((-3, -1))
    return means


class Pack:
    """An open pack."""

    def __init__(self, path: Path) -> None:
        raw = np.load(io.BytesIO(lzma.decompress(path.read_bytes())))
        self._arrays = {name: raw[name] for name in raw.files}

    def tiles(self) -> Tiles:
        """The labelled tiles."""
        soft = self._arrays["tiles_probabilities"].repeat(2, -1).repeat(2, -2)
        weight = self._arrays["tiles_weight"]
        label = np.where(weight > 0, soft.argmax(1), NODATA).astype(np.uint8)
        return {
            "s2": s2_of(self._arrays["tiles_s2"], np.random.default_rng(0)),
            "s1": s1_of(self._arrays["tiles_s1"]),
            "label": label,
            "probabilities": soft,
            "weight": weight,
        }

    def write_points(self, folder: Path) -> None:
        """Write the files of points into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in (POINTS_FILE, LESOTHO_FILE, AFRICA_FILE):
            (folder / name).write_bytes(self._arrays[f"points/{name}"].tobytes())

    def judged(self) -> Iterator[tuple[str, Judged]]:
        """Judged images, each with the name of its suite."""
        described: Sequence[dict[str, Any]] = json.loads(self._arrays["judged"].tobytes())
        for number, one in enumerate(described):
            key = f"judged/{number}"
            view = View(
                s2_of(self._arrays[f"{key}/s2"]),
                s1_of(self._arrays[f"{key}/s1"]),
                Sky(**one["sky"]),
            )
            kinds = [(name, tuple(ids)) for name, ids in one["kinds"]]
            yield one["suite"], Judged(one["name"], view, self._arrays[f"{key}/kind"], kinds)
