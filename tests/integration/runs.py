"""Runs of the command as a user would start it, and what is left of them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from lulcmap.simulation.build import Country

COUNTRY = Country(seed=1, height=256, width=320, s2_dates=4, s1_dates=3)
"""The world's."""

COMMAND = Path(sys.executable).with_name("lulcmap")
"""The command of the environment that runs the tests."""

_OF_ITS_CATALOGUE = {"LULCMAP_PLAN", "LULCMAP_REQUEST", "LULCMAP_CATALOG"}
"""Tags that say where the scenes came from; all else of a map does not depend on that."""

_COUNTS = ("coverage", "pixels", "classes", "scenes", "unused", "skipped", "lost", "unmasked")
"""Of the report: what the map was made of."""

_MARKS = ("sig=", "X-Amz-Signature", "X-Amz-Credential")
"""What signed URLs have in common."""

_TIMEOUT = 240
"""Seconds; a run takes four, and a hang shall be seen as one."""


@dataclass(frozen=True)
class Run:
    """A run that ended."""

    code: int
    stdout: str
    stderr: str
    out: Path
    """The map, if one was made."""

    @property
    def folder(self) -> Path:
        """The run folder, if it was kept."""
        return self.out.with_name(f"{self.out.name}.run")

    @property
    def report(self) -> dict[str, Any]:
        """The report beside the map."""
        return json.loads(self.out.with_name(f"{self.out.name}.report.json").read_text())

    @property
    def lost(self) -> list[tuple[str, str]]:
        """Scene and band of each asset that the report calls lost."""
        return [(asset["scene"], asset["band"]) for asset in self.report["lost"]]

    @property
    def blocks(self) -> dict[str, int]:
        """The blocks in the run folder, and when each was written, ns."""
        paths = (self.folder / "blocks").glob("[!.]*.tif")  # a kill leaves hidden temporary files
        return {path.name: path.stat().st_mtime_ns for path in paths}


@dataclass(frozen=True)
class World:
    """A simulated country, a small model, and the offline run that all others must equal."""

    folder: Path
    """Of the country: a sub-folder a collection, a folder a scene, a file a band."""

    items: list[dict[str, Any]]
    """Of both sensors; hrefs begin with ``./`` and lead to ``folder``."""

    aoi: Path
    model: Path

    def collection(self, to: Path, base: str) -> Path:
        """Write the items as a file, with hrefs that start from a URL instead of the folder."""
        to.write_text(json.dumps({"type": "FeatureCollection", "features": self.moved(base)}))
        return to

    def moved(self, base: str) -> list[dict[str, Any]]:
        """The items with hrefs that start from a URL instead of the folder."""
        return [
            {
                **item,
                "assets": {
                    key: {**asset, "href": asset["href"].replace("./", f"{base}/", 1)}
                    for key, asset in item["assets"].items()
                },
            }
            for item in self.items
        ]

    def predict(
        self, catalog: Path | str, out: Path, *options: str, env: Mapping[str, str] | None = None
    ) -> Run:
        """``lulcmap predict``, in an environment of its own: none of ours leaks into it.

        Args:
            catalog: as of ``--catalog``.
            out: the map.
            options: further ones.
            env: beside PATH and HOME.

        """
        words = [str(COMMAND), "predict", "--aoi", str(self.aoi), "--year", "2024"]
        words += ["--catalog", str(catalog), "--model", str(self.model), "--device", "cpu"]
        words += ["--block-size", "144", "--out", str(out), *options]
        done = subprocess.run(
            words,
            cwd=out.parent,
            env={"PATH": os.environ["PATH"], "HOME": str(out.parent), **(env or {})},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr, out)


def assert_same_map(run: Run, other: Run) -> None:
    """See that two runs ended well and made the same map of the same scenes."""
    assert (run.code, other.code) == (0, 0), run.stderr
    with rasterio.open(run.out) as one, rasterio.open(other.out) as two:
        assert one.profile == two.profile
        assert one.colormap(1) == two.colormap(1)
        assert _without_origin(one.tags()) == _without_origin(two.tags())
        np.testing.assert_array_equal(one.read(), two.read())
    assert {name: run.report[name] for name in _COUNTS} == {
        name: other.report[name] for name in _COUNTS
    }


def _without_origin(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name not in _OF_ITS_CATALOGUE}


def leaks(run: Run, secrets: Iterable[str]) -> list[tuple[str, str]]:
    """Where a run left what: each artefact, and the mark or secret that is in it."""
    artefacts = {"stdout": run.stdout.encode(), "stderr": run.stderr.encode()}
    for path in [run.out, *run.out.parent.glob(f"{run.out.name}*"), *run.folder.rglob("*")]:
        if path.is_file():
            artefacts[str(path.relative_to(run.out.parent))] = path.read_bytes()
    with rasterio.open(run.out) as made:
        artefacts["tags"] = repr([made.tags(ns=ns) for ns in made.tag_namespaces()]).encode()
        artefacts["own tags"] = repr(made.tags()).encode()
    wanted = [*_MARKS, *secrets]
    assert len(artefacts) > 8
    return [
        (name, text)
        for name, content in artefacts.items()
        for text in wanted
        if text.encode() in content
    ]
