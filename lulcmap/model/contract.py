"""The contract of a model file: inputs, windows, classes, training.

It is stored as one JSON text under the key ``lulcmap`` of the ONNX file's ``metadata_props``.
"""

import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from lulcmap.errors import ModelError, UsageError
from lulcmap.geo import Lattice
from lulcmap.legend import (
    CLASSES,
    PLAIN_NAME,
    LandCover,
    is_plain_name,
    legend_of,
    shortened,
)
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA

METADATA_KEY = "lulcmap"
"""Key of the contract in ``metadata_props``."""

FORMAT = 1
"""Version of the contract's JSON format."""

START = "start"
"""Key in ``Contract.training`` of what a training that starts from the model needs beside its
weights; of no use to a reader."""

ADAPTED = "adapted"
"""Key in ``Contract.training`` of how a model was adapted to labels of a land."""

Prior = Literal["natural", "balanced"]
"""Class prior: ``"natural"`` is that of the training data; ``"balanced"`` finds more of the rare
classes, with more false alarms."""

MIN_CLASS_SHARE = 0.001
"""Smallest share of the training data that ``logit_bias`` assumes for a class."""

_NAMES_IN_FILE = {"trained_on": "knows", "quality": "standing"}
"""Fields that have other keys in model files, since version 0.1.0."""

_LARGEST = 1e30
"""A temperature or pixel size beyond any sense."""

_LARGEST_PX = 2**16
"""A window has fewer pixels a side."""

_MAX_QUALITY_CHARS = 10_000
"""Longest text of a model's quality."""

S2_UNIT = "DN, reflectance x 10000, offset removed"
S1_UNIT = "gamma0, dB x 100"


def is_adapted(training: Mapping[str, Any]) -> bool:
    """Whether a model was adapted to labels, or trained on from one that was.

    Args:
        training: what its contract or checkpoint tells of its training.

    """
    init = training.get("init")
    return ADAPTED in training or (isinstance(init, Mapping) and ADAPTED in init)


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input of the graph, (N, len(bands), H, W)."""

    bands: tuple[str, ...]
    """Bands, in order along axis 1."""

    dtype: Literal["uint16", "int16"]
    """Data type that the graph takes."""

    unit: str
    """Unit of the values: ``S2_UNIT`` or ``S1_UNIT``."""

    nodata: int
    """Value of a missing pixel."""

    optional: bool = True
    """Whether the input may be missing from a pixel, a window or a map."""


SUN_ZENITH = "sun_zenith"
"""Name of the scalar that tells the sun's angle from the zenith."""

NO_S2_SUN_ZENITH = 45.0
"""Sun zenith given for a window without Sentinel-2, degrees: nothing in it depends on the sun."""


@dataclass(frozen=True, slots=True)
class ModelScalar:
    """One number a window that the graph takes, (N,) float32."""

    unit: str
    """Unit of the values."""


SUN_SCALAR = ModelScalar(unit="degrees")
"""``sun_zenith``: mean angle between sun and zenith of the Sentinel-2 observations of the window's
pixels, 0 to 90; ``NO_S2_SUN_ZENITH`` in a window without any."""

S2_INPUT = ModelInput(bands=S2_BANDS, dtype="uint16", unit=S2_UNIT, nodata=S2_NODATA)
S1_INPUT = ModelInput(bands=S1_BANDS, dtype="int16", unit=S1_UNIT, nodata=S1_NODATA)


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything lulcmap must know about a model to map with it."""

    name: str
    """Name of the model."""

    inputs: Mapping[str, ModelInput]
    """Inputs by their name in the graph: ``"s2"``, ``"s1"`` or both."""

    stride: int
    """Side of a cell of the output ``logits`` (N, K, H / stride, W / stride), pixels."""

    window: int = 512
    """Side of the windows to run the model on, pixels."""

    step: int = 384
    """Distance from one window to the next, pixels."""

    multiple: int = 32
    """Number that divides the height and width of a window, pixels."""

    resolution: float = 10.0
    """Pixel size, metres."""

    classes: tuple[str, ...] = tuple(cover.name for cover in CLASSES)
    """Names of the classes, in the order of the logits: 1 to 254, Dynamic World's or others."""

    colours: tuple[str, ...] = tuple(cover.colour for cover in CLASSES)
    """Colours, RRGGBB, in the order of ``classes``."""

    temperature: float = 1.0
    """Divisor of the logits before the softmax."""

    precision: Literal["fp32", "fp16"] = "fp32"
    """Precision of the weights and of the arithmetic after the normalisation."""

    trained_on: Literal["simulated", "real", "unknown"] = "simulated"
    """Kind of landscapes the model was trained on; ``knows`` in the file."""

    prior: tuple[float, ...] = ()
    """Share of each class in the training data, as the loss weighted it, in the order of the
    logits; empty if unknown."""

    quality: str = ""
    """Quality of the model in one line; empty if it was not measured. ``standing`` in the file."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """Origin of the weights: data, settings, software; JSON values."""

    scalars: Mapping[str, ModelScalar] = field(default_factory=dict)
    """Numbers a window that the graph also takes, by their name in it: ``"sun_zenith"`` or none.
    Left out of the file if there are none."""

    @property
    def lattice(self) -> Lattice:
        """Lattice of the windows."""
        return Lattice(self.window, self.step)

    @property
    def legend(self) -> tuple[LandCover, ...]:
        """Legend of the map: ``legend_of`` the classes."""
        return legend_of(self.classes, self.colours)

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the classes in the legend, in the order of the logits."""
        by_name = {cover.name: cover.id for cover in self.legend}
        return tuple(by_name[name] for name in self.classes)

    def logit_bias(self, prior: Prior) -> tuple[float, ...]:
        """Return the bias to add to the logits of each class.

        ``"natural"`` adds none. ``"balanced"`` divides the probability of each class by the square
        root of its share in the training data, halfway to a prior of equal classes: it finds more
        of the rare classes, with more false alarms.

        Args:
            prior: class prior.

        Raises:
            UsageError: the model does not tell the shares of its classes.

        """
        if prior == "natural":
            return (0.0,) * len(self.classes)
        if not self.prior:
            raise UsageError(
                f"Model {self.name!r} does not tell the class shares of its training data, which "
                "--prior balanced needs. Omit --prior, or train and export the model again."
            )
        logs = [math.log(max(share, MIN_CLASS_SHARE)) for share in self.prior]
        mean = math.fsum(logs) / len(logs)
        return tuple(0.5 * self.temperature * (mean - log) for log in logs)

    def describe(self) -> str:
        """Describe training data and quality, in a phrase that follows the model's name."""
        if self.trained_on == "simulated":
            return "was trained on simulated landscapes only; maps of real land are demonstrations"
        if self.trained_on == "unknown":
            return self.quality or "was made elsewhere; lulcmap did not measure its quality"
        return self.quality or "was trained on real images; its quality was not measured"

    def card_lines(self) -> list[str]:
        """Inputs and outputs as a card lists them, in Markdown."""
        return [
            *(
                f"- `{name}`: {', '.join(given.bands)}; {given.dtype}, {given.unit}, "
                f"nodata {given.nodata}{'; may be missing' if given.optional else ''}"
                for name, given in self.inputs.items()
            ),
            f"- logits of {len(self.classes)} classes, one cell per {self.stride} x "
            f"{self.stride} px of {self.resolution:g} m: {', '.join(self.classes)}",
        ]

    @property
    def bytes_per_pixel(self) -> float:
        """Bytes per pixel of a block: float32 logits, and the sum, number and mean of a scalar."""
        return 4 * len(self.classes) / self.stride**2 + 8 * len(self.scalars)

    @property
    def shown_bytes(self) -> int:
        """Bytes of the composite's pixels of a window."""
        return 2 * (len(S2_BANDS) + len(S1_BANDS)) * self.window**2

    @property
    def window_bytes(self) -> int:
        """Bytes of the logits of a window."""
        return 4 * len(self.classes) * (self.window // self.stride) ** 2

    def to_json(self) -> str:
        """Return the JSON text for ``metadata_props``; equal contracts give equal texts."""
        values = asdict(self)
        for name, name_in_file in _NAMES_IN_FILE.items():
            values[name_in_file] = values.pop(name)
        if not self.scalars:
            del values["scalars"]  # as in the files of version 0.1.0
        return json.dumps({"format": FORMAT, **values}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the contract of a model file.

        Args:
            text: JSON text, as ``to_json`` writes it.

        Raises:
            ModelError: the text is not a contract of this version.

        """
        try:
            fields = json.loads(text)
            version = fields.pop("format")
            if version != FORMAT:
                raise ModelError(
                    f"The model's contract has format {shortened(version)}; this lulcmap reads "
                    f"{FORMAT}. Export the model again with this version."
                )
            inputs = {
                name: ModelInput(**{**values, "bands": tuple(values["bands"])})
                for name, values in fields.pop("inputs").items()
            }
            fields["scalars"] = {
                name: ModelScalar(**values) for name, values in fields.pop("scalars", {}).items()
            }
            for name, name_in_file in _NAMES_IN_FILE.items():
                if name_in_file in fields:
                    fields[name] = fields.pop(name_in_file)
            for name in ("classes", "colours", "prior"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(inputs=inputs, **fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(
                f"The model's contract cannot be read ({shortened(str(error), 200)}). "
                "Export the model again: lulcmap export-onnx."
            ) from error

    def check(self) -> None:
        """Check that lulcmap can provide the model's inputs and map its outputs.

        Raises:
            ModelError: an input, band, unit, class or size does not fit; the message names it.

        """
        self._check_values()
        ours = {"s2": S2_INPUT, "s1": S1_INPUT}
        for name, needed in self.inputs.items():
            if name not in ours:
                self._refuse(f"needs an input {shortened(name)}", "lulcmap provides s2 and s1")
            provided = ours[name]
            if not needed.bands or any(needed.bands.count(band) > 1 for band in needed.bands):
                self._refuse(f"needs no band of {name}, or one twice", "it needs each one once")
            if type(needed.optional) is not bool:
                found = shortened(needed.optional)
                self._refuse(f"needs {name} with optional {found}", "it is true or false")
            for band in needed.bands:
                if band not in provided.bands:
                    self._refuse(
                        f"needs band {_plain(band)} of {name}",
                        f"lulcmap provides {', '.join(provided.bands)}",
                    )
            for key in ("dtype", "unit", "nodata"):
                if getattr(needed, key) != getattr(provided, key):
                    self._refuse(
                        f"needs {name} with {key} {shortened(getattr(needed, key))}",
                        f"lulcmap provides it with {key} {getattr(provided, key)!r}",
                    )
        if not self.inputs:
            self._refuse("has no input", "it needs s2, s1 or both")
        self._check_scalars()
        if self.resolution != 10:
            self._refuse(f"needs pixels of {self.resolution:g} m", "lulcmap provides 10 m")
        half = (self.window - self.step) // 2
        if (
            self.window % self.multiple
            or self.window % self.stride
            or self.step % 2
            or self.step % self.stride
            or half % self.stride
            or not self.window / 2 <= self.step <= self.window
            or self.window % 4
        ):
            self._refuse(
                f"has windows of {self.window} px every {self.step} px",
                f"the window must be a multiple of {self.multiple} and of 4, the step even and "
                "between half a window and a window, and window, step and half the difference of "
                f"both multiples of the stride {self.stride}",
            )

    def _check_scalars(self) -> None:
        """Check that lulcmap can provide the numbers the model takes."""
        for name, scalar in self.scalars.items():
            if name != SUN_ZENITH:
                self._refuse(f"needs a number {shortened(name)}", f"lulcmap provides {SUN_ZENITH}")
            if scalar != SUN_SCALAR:
                self._refuse(
                    f"needs {SUN_ZENITH} in the unit {shortened(scalar.unit)}",
                    f"lulcmap provides it in {SUN_SCALAR.unit}",
                )
            if "s2" not in self.inputs:
                self._refuse(f"needs {SUN_ZENITH} without s2", "it is that of Sentinel-2")

    def _check_values(self) -> None:
        """Check that each value of the contract is possible."""
        for key in ("stride", "window", "step", "multiple"):
            value = getattr(self, key)
            if type(value) is not int or not 0 < value < _LARGEST_PX:
                self._refuse(
                    f"has {key} {shortened(value)}",
                    f"it must be a whole number above 0 and below {_LARGEST_PX:,}",
                )
        for key in ("temperature", "resolution"):
            number = getattr(self, key)
            if type(number) not in (int, float) or not 0 < number < _LARGEST:
                self._refuse(f"has {key} {shortened(number)}", "it must be a number above 0")
        try:
            legend_of(self.classes, self.colours)
        except ValueError as error:
            self._refuse("has a legend that is not valid", str(error))
        if self.trained_on not in ("simulated", "real", "unknown"):
            self._refuse(
                f"was trained on {shortened(self.trained_on)} land ('knows')",
                "it must be simulated, real or unknown",
            )
        if not is_plain_name(self.name):
            self._refuse("has no name, or one that is not plain", PLAIN_NAME)
        if self.precision not in ("fp32", "fp16"):
            self._refuse(
                f"has the precision {shortened(self.precision)}", "it must be fp32 or fp16"
            )
        if type(self.quality) is not str or not _is_line(self.quality):
            self._refuse(
                f"has the quality {shortened(self.quality)} ('standing')",
                f"it must be a line of text of at most {_MAX_QUALITY_CHARS} characters",
            )
        if not isinstance(self.training, Mapping):
            self._refuse(f"has the training {shortened(self.training)}", "it must be a JSON object")
        if self.prior and (
            len(self.prior) != len(self.classes)
            or not all(type(share) in (int, float) and 0 <= share <= 1 for share in self.prior)
        ):
            self._refuse(
                f"has the prior {shortened(self.prior)}",
                "it must be a number from 0 to 1 for each class",
            )

    def _refuse(self, problem: str, expected: str) -> None:
        raise ModelError(
            f"Model {shortened(self.name)} {problem}; {expected}. "
            "Choose another model (see lulcmap models) or export it again."
        )


def _is_line(text: str) -> bool:
    is_text = not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)
    return is_text and len(text) <= _MAX_QUALITY_CHARS


def _plain(name: object) -> str:
    """A short name as it is, anything else as of ``shortened``."""
    return name if isinstance(name, str) and is_plain_name(name) else shortened(name)
