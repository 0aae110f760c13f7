"""The legend and the settings of a dataset: the file ``dataset.json``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lulcmap import __version__
from lulcmap.dataset.sets import LabelSet, check_sets
from lulcmap.errors import UsageError
from lulcmap.legend import LandCover

ABOUT = "dataset.json"

FORMAT = 1
"""Version of the folder's layout."""

_SPLIT_SETTINGS = ("validation", "test")
"""Settings that only decide the splits: they may change without rebuilding the chips."""

_MAX_VALUE_CHARS = 60
"""Characters of a setting's value in a message."""


@dataclass(frozen=True)
class About:
    """The legend of a dataset, and the settings that it is built with."""

    classes: tuple[LandCover, ...]
    """The legend: a class's position is its id in the labels, where 255 is unknown."""

    settings: Mapping[str, Any]
    """Settings of the labels, the images and the splits, plain JSON."""

    sets: tuple[LabelSet, ...] = ()
    """Sets of classes that labels may give instead of one class, by code from 254 down."""

    version: str = __version__
    """Version of lulcmap that wrote the file."""

    format: int = FORMAT
    """Version of the folder's layout."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file in a dataset's folder.

        Raises:
            UsageError: the folder holds no dataset, or one of another format.

        """
        try:
            about = cls.from_json(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(
                f"No dataset in {folder}; expected a folder made by lulcmap dataset build."
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{folder / ABOUT} cannot be read ({type(error).__name__}). Build the dataset "
                "again in another folder."
            ) from error
        if about.format != FORMAT:
            raise UsageError(
                f"The dataset in {folder} has format {about.format}; this version of lulcmap "
                f"reads format {FORMAT}. Build the dataset again in another folder."
            )
        return about

    @property
    def simulated(self) -> bool:
        """Whether the images show simulated land."""
        return bool(self.settings.get("simulated"))

    def differences(self, other: "About") -> list[str]:
        """What differs in another dataset, the splits aside: a phrase for each setting."""
        old, new = self.to_json()["settings"], other.to_json()["settings"]
        keys = sorted({*old, *new} - set(_SPLIT_SETTINGS))
        phrases = [
            f"{key} was {_short(old.get(key))}, is {_short(new.get(key))}"
            for key in keys
            if old.get(key) != new.get(key)
        ]
        if self.classes != other.classes:
            phrases.append(f"classes were {_names(self.classes)}, are {_names(other.classes)}")
        if self.sets != other.sets:
            were, are = ([one.to_json() for one in about.sets] for about in (self, other))
            phrases.append(f"label sets were {_short(were)}, are {_short(are)}")
        return phrases

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        values: dict[str, Any] = {
            "format": self.format,
            "lulcmap": self.version,
            "classes": [{"name": cover.name, "colour": cover.colour} for cover in self.classes],
            "settings": dict(self.settings),
        }
        if self.sets:
            values["sets"] = [one.to_json() for one in self.sets]
        return json.loads(json.dumps(values))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record that ``to_json`` made the values of.

        Raises:
            KeyError, TypeError, ValueError: the values are not those of a dataset.

        """
        classes = tuple(
            LandCover(number, str(cover["name"]), str(cover["colour"]))
            for number, cover in enumerate(values["classes"])
        )
        sets = tuple(LabelSet.from_json(one) for one in values.get("sets", ()))
        check_sets(sets, [cover.name for cover in classes])
        return cls(
            classes,
            dict(values["settings"]),
            sets,
            str(values.get("lulcmap", "")),
            values["format"],
        )


def _names(classes: Sequence[LandCover]) -> str:
    return _short([f"{cover.name} {cover.colour}" for cover in classes])


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[: _MAX_VALUE_CHARS - 3]}..."
