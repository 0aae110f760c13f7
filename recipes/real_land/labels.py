"""What the teacher says of every real scene, made once and kept.

    python -m recipes.real_land.labels LABELS_FOLDER --data ../shared/data

One file a scene, ``LABELS_FOLDER/<scene>.npz``: the teacher's probabilities under the scene's own
sun. A rerun makes what is missing. 470 km2 take about 10 minutes of one core.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lulcmap.system import replacing
from recipes.real_land.real_scenes import RealScene, real_scenes
from recipes.real_land.teacher import Teacher

KNOWN = ("denmark", "ontario", "laos", "congo")
"""Held-out scenes that are not labelled: they are judged by other labels, or under haze."""


def taught(labels: Path, scene: RealScene) -> NDArray[np.float32]:
    """The teacher's probabilities of a scene, (9, H, W).

    Raises:
        FileNotFoundError: the scene has not been labelled.

    """
    with np.load(_path(labels, scene.name)) as file:
        return file["probabilities"].astype(np.float32)


def held_out_scenes(data: Path) -> Iterator[RealScene]:
    """The scenes of held-out places that the teacher is asked about."""
    return (scene for scene in real_scenes(data, use="held-out") if scene.name not in KNOWN)


def all_taught_scenes(data: Path) -> Iterator[RealScene]:
    """All scenes that the teacher is asked about, those of held-out places first."""
    yield from held_out_scenes(data)
    yield from real_scenes(data, use="train")


def label_scenes(data: Path, labels: Path, scenes: Iterable[RealScene]) -> Iterator[str]:
    """Label the scenes that are not labelled yet; yield the name of each."""
    labels.mkdir(parents=True, exist_ok=True)
    teacher: Teacher | None = None
    for scene in scenes:
        path = _path(labels, scene.name)
        if not path.exists():
            teacher = teacher or Teacher(data / "teacher")
            if scene.toa is not None:
                probabilities = teacher.of_toa(scene.toa)
            else:
                probabilities = teacher.probabilities(scene.s2_smooth, scene.sky)
            with replacing(path) as part, part.open("wb") as file:
                np.savez_compressed(file, probabilities=probabilities.astype(np.float16))
        yield scene.name


def _path(labels: Path, name: str) -> Path:
    return labels / f"{name}.npz"


def main() -> None:
    """Label every scene."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("labels", type=Path, help="folder of the labels")
    parser.add_argument("--data", type=Path, required=True, help="folder with scenes/ and archive/")
    options = parser.parse_args()
    scenes = all_taught_scenes(options.data)
    with tqdm(desc="scenes labelled") as bar:
        for _ in label_scenes(options.data, options.labels, scenes):
            bar.update()


if __name__ == "__main__":
    main()
