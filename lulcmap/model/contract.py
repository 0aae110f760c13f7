"""What a model file says of itself: the contract between a network and the map it makes.

One JSON text under the key ``lulcmap`` of an ONNX file's ``metadata_props``.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from lulcmap.errors import ModelError, UsageError
from lulcmap.geo import Lattice
from lulcmap.legend import CLASSES, LandCover, legend_of
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA

METADATA_KEY = "lulcmap"
"""Where the contract is in ``metadata_props``."""

FORMAT = 1
"""Version of the contract's form."""

Prior = Literal["natural", "balanced"]
"""How common a map takes classes to be: as in what the model learnt from, or more alike."""

MIN_CLASS_SHARE = 0.001
"""Share that a class of what a model learnt from counts at least, where classes are evened."""

_NAMES_IN_FILE = {"trained_on": "knows", "quality": "standing"}
"""Fields that model files since version 0.1.0 hold under other names."""

S2_UNIT = "DN, reflectance x 10000, offset removed"
S1_UNIT = "gamma0, dB x 100"


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input of the graph: (N, len(bands), H, W)."""

    bands: tuple[str, ...]
    """In order along axis 1."""

    dtype: Literal["uint16", "int16"]
    """As the graph takes it."""

    unit: str
    """``S2_UNIT`` or ``S1_UNIT``."""

    nodata: int
    """The value of a missing pixel."""

    optional: bool = True
    """Whether a pixel, a window or a map may be without it."""


S2_INPUT = ModelInput(bands=S2_BANDS, dtype="uint16", unit=S2_UNIT, nodata=S2_NODATA)
S1_INPUT = ModelInput(bands=S1_BANDS, dtype="int16", unit=S1_UNIT, nodata=S1_NODATA)


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything lulcmap must know of a model to make a map with it."""

    name: str
    """Of the model."""

    inputs: Mapping[str, ModelInput]
    """By the name of the graph's input: ``"s2"``, ``"s1"`` or both."""

    stride: int
    """Pixels a side of one cell of the output ``logits`` (N, K, H / stride, W / stride)."""

    window: int = 512
    """Pixels a side of the windows the model wants."""

    step: int = 384
    """Pixels from one window to the next."""

    multiple: int = 32
    """Height and width of a window must be multiples of this."""

    resolution: float = 10.0
    """Pixel size, metres."""

    classes: tuple[str, ...] = tuple(cover.name for cover in CLASSES)
    """Names, in the order of the logits: any 1 to 254; Dynamic World's or others."""

    colours: tuple[str, ...] = tuple(cover.colour for cover in CLASSES)
    """RRGGBB, in the order of ``classes``."""

    temperature: float = 1.0
    """Logits are divided by it before the softmax."""

    precision: Literal["fp32", "fp16"] = "fp32"
    """Of the weights and of the arithmetic after the normalisation."""

    trained_on: Literal["simulated", "real"] = "simulated"
    """Kind of land the model was trained on; ``knows`` in the file."""

    prior: tuple[float, ...] = ()
    """Share of each class in what the model learnt from, as its loss counted them, in the order of
    the logits; empty where it is not known."""

    quality: str = ""
    """How good the model is, in one line; empty where it was not measured. ``standing`` in the
    file."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """Where the weights come from: data, settings, software; plain JSON."""

    @property
    def lattice(self) -> Lattice:
        """Of the windows."""
        return Lattice(self.window, self.step)

    @property
    def legend(self) -> tuple[LandCover, ...]:
        """Of the map: ``legend.legend_of`` the classes."""
        return legend_of(self.classes, self.colours)

    @property
    def ids(self) -> tuple[int, ...]:
        """Of the classes in the legend, in the order of the logits."""
        by_name = {cover.name: cover.id for cover in self.legend}
        return tuple(by_name[name] for name in self.classes)

    def logit_bias(self, prior: Prior) -> tuple[float, ...]:
        """What is added to the logits of each class, so that rare classes are seen more, or not.

        ``"balanced"`` divides the probability of each class by the square root of its share in what
        the model learnt from: halfway to a model for which all classes are as common. Rare classes
        are found more often then, and more often where they are not.

        Raises:
            UsageError: the model does not say how common its classes were.

        """
        if prior == "natural":
            return (0.0,) * len(self.classes)
        if not self.prior:
            raise UsageError(
                f"Model {self.name!r} does not say how common its classes were in what it learnt "
                "from, which --prior balanced needs. Leave --prior out, or train and export it "
                "again."
            )
        logs = [math.log(max(share, MIN_CLASS_SHARE)) for share in self.prior]
        mean = math.fsum(logs) / len(logs)
        return tuple(0.5 * self.temperature * (mean - log) for log in logs)

    def describe(self) -> str:
        """What the model was trained on and how good it is, in words that follow its name."""
        if self.trained_on == "simulated":
            return "knows simulated landscapes only; its maps of real land are a demonstration"
        return self.quality or "was trained on real images; how good it is was not measured"

    @property
    def bytes_per_pixel(self) -> float:
        """Of the logits of a block's cells, float32."""
        return 4 * len(self.classes) / self.stride**2

    def to_json(self) -> str:
        """The text for ``metadata_props``; the same contract gives the same text."""
        values = asdict(self)
        for name, name_in_file in _NAMES_IN_FILE.items():
            values[name_in_file] = values.pop(name)
        return json.dumps({"format": FORMAT, **values}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The contract a model file carries.

        Raises:
            ModelError: it is no contract this version understands.

        """
        try:
            fields = json.loads(text)
            form = fields.pop("format")
            if form != FORMAT:
                raise ModelError(
                    f"The model's contract has format {form}; this lulcmap reads format {FORMAT}. "
                    "Export the model again with this version."
                )
            inputs = {
                name: ModelInput(**{**values, "bands": tuple(values["bands"])})
                for name, values in fields.pop("inputs").items()
            }
            for name, name_in_file in _NAMES_IN_FILE.items():
                if name_in_file in fields:
                    fields[name] = fields.pop(name_in_file)
            for name in ("classes", "colours", "prior"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(inputs=inputs, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"The model's contract cannot be read ({error}). "
                "Export the model again: lulcmap export-onnx."
            ) from error

    def check(self) -> None:
        """See that lulcmap can give the model what it wants, and make a map of what it gives.

        Raises:
            ModelError: naming the input, band, unit, class or size that does not fit.

        """
        self._check_values()
        ours = {"s2": S2_INPUT, "s1": S1_INPUT}
        for name, wanted in self.inputs.items():
            if name not in ours:
                self._refuse(f"wants an input {name!r}", "the inputs are s2 and s1")
            given = ours[name]
            for band in wanted.bands:
                if band not in given.bands:
                    self._refuse(
                        f"wants band {band} of {name}", f"{name} has {', '.join(given.bands)}"
                    )
            for what in ("dtype", "unit", "nodata"):
                if getattr(wanted, what) != getattr(given, what):
                    self._refuse(
                        f"wants {name} with {what} {getattr(wanted, what)!r}",
                        f"{name} comes with {what} {getattr(given, what)!r}",
                    )
        if not self.inputs:
            self._refuse("has no input", "it needs s2, s1 or both")
        if self.resolution != 10:
            self._refuse(f"wants pixels of {self.resolution:g} m", "they are 10 m")
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
                f"wants windows of {self.window} px every {self.step} px",
                f"both must fit its stride {self.stride} and its multiple {self.multiple}, and the "
                "step must be between half a window and a window",
            )

    def _check_values(self) -> None:
        """See that the contract's own values are possible."""
        for what in ("stride", "window", "step", "multiple"):
            value = getattr(self, what)
            if type(value) is not int or value < 1:
                self._refuse(f"has {what} {value!r}", "it is a whole number above 0")
        for what in ("temperature", "resolution"):
            number = getattr(self, what)
            if type(number) not in (int, float) or not 0 < number < math.inf:
                self._refuse(f"has {what} {number!r}", "it is a number above 0")
        try:
            legend_of(self.classes, self.colours)
        except ValueError as error:
            self._refuse("has a legend that cannot be used", str(error))
        if self.trained_on not in ("simulated", "real"):
            self._refuse(f"knows {self.trained_on!r} land", "it is simulated or real")
        if type(self.name) is not str:
            self._refuse("has no name", "it is a text")
        if type(self.quality) is not str:
            self._refuse(f"has a standing {self.quality!r}", "it is a text")
        if self.prior and (
            len(self.prior) != len(self.classes)
            or not all(type(share) in (int, float) and 0 <= share <= 1 for share in self.prior)
        ):
            self._refuse(
                f"has the shares {self.prior!r}", "they are a number from 0 to 1 for each class"
            )

    def _refuse(self, found: str, expected: str) -> None:
        raise ModelError(
            f"Model {self.name!r} {found}; {expected}. "
            "Choose another model (lulcmap models) or export it again."
        )
