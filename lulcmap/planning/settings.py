"""How a map is made: every setting and its default."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from lulcmap.imagery import RULE_RANGES, CompositeRules
from lulcmap.model import Device
from lulcmap.output import COMPOSITE, PROBABILITIES, QUALITY, Extras, checked_license
from lulcmap.system import check_fields

if TYPE_CHECKING:
    from lulcmap.catalog import Period
    from lulcmap.imagery import CompositeRequest

_COMPOSITE_BYTES = 22
"""Bytes a pixel of a composite: eleven bands of 16 bits."""

RANGES: Mapping[str, tuple[float, float]] = {
    "max_cloud": (0, 100),
    "max_s1_scenes": (1, 254),
    "block_size": (1, inf),
    "max_lost": (0, 1),
    "min_coverage": (0, 1),
    "batch_size": (1, inf),
    "workers": (1, 256),
    "patience": (0, inf),
    **RULE_RANGES,
}
"""Smallest and largest value of each number, both included, those of the rules among them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a map is made. The command and the Python API take their defaults from here."""

    model: str | None = None
    """Model: a name from `lulcmap models` or an ONNX file; None is the default model."""

    catalog: str | Mapping[str, Any] = "planetary-computer"
    """Catalogue: a provider's name, the URL of a STAC API, an ItemCollection file, or an
    ItemCollection as JSON values."""

    profile: str | None = None
    """Provider whose layout an API or a file has; None is the Planetary Computer, or what the file
    looks like."""

    s1_catalog: str | None = None
    """Provider or API of Sentinel-1; None is ``catalog``."""

    fallback: str | None = None
    """Provider or API that gives the same products where ``catalog`` cannot; None is none."""

    max_cloud: float = 95.0
    """Percent of cloud cover above which a Sentinel-2 scene is skipped."""

    crs: str = "auto"
    """CRS of the map: ``"auto"`` (a UTM zone, or equal-area for a wide area) or
    ``"EPSG:<code>"``."""

    sparse: bool = False
    """Whether to proceed even if less than 1 % of the map lies in the area."""

    s1: Literal["off", "optional", "required"] = "optional"
    """Use of Sentinel-1; if required, a pixel without it is not mapped."""

    orbit: Literal["descending", "ascending"] = "descending"
    """Preferred orbit direction of Sentinel-1; the other one fills gaps."""

    max_s1_scenes: int = 12
    """Sentinel-1 dates of each relative orbit."""

    rules: CompositeRules = field(default_factory=CompositeRules)
    """Rules of the Sentinel-2 composite."""

    blend: Literal["hann", "centre"] = "hann"
    """How windows are joined: ``"hann"`` blends their overlap, ``"centre"`` cuts in its middle."""

    prior: Literal["natural", "balanced"] = "natural"
    """Class prior: ``"natural"`` as in the training data; ``"balanced"`` finds more of the rare
    classes, with more false alarms."""

    block_size: int = 4608
    """Pixels a side of a block, a multiple of the model's step; memory grows with it."""

    max_lost: float = 0.10
    """Share of a block's assets that may be unreadable; with more the block fails."""

    retry_failed: bool = False
    """Whether to map only the blocks that failed before."""

    min_coverage: float = 0.99
    """Share of the area, 0 to 1, that a complete map has a class for."""

    zones: bool = False
    """Whether to write a file of each UTM zone too, on the zone's own grid."""

    device: Device = "auto"
    """Device the model runs on."""

    batch_size: int | None = None
    """Windows in one call of the model, on a GPU; None is as many as its memory suggests."""

    workers: int | None = None
    """Reader threads; None is what cores and memory take: one and a half a core, 4 to 32."""

    max_memory: int | None = None
    """Bytes the process may take; None is what the machine has free."""

    patience: float = 300.0
    """Seconds to wait for a server of scenes that is busy or down."""

    workdir: Path | None = None
    """Folder of the run folder; None is the map's own."""

    keep_run: bool = False
    """Whether to keep the run folder: blocks with confidence, counts and origin."""

    overwrite: bool = False
    """Whether to replace a map that was made under another plan."""

    sidecars: bool = True
    """Whether to write style, names, STAC item and quick look beside the map."""

    confidence: bool = False
    """Whether to write confidence, margin, counts and origin of each pixel beside the map."""

    probabilities: bool = False
    """Whether to write the probability of every class beside the map."""

    save_composite: bool = False
    """Whether to write the composite that the map is made from beside it."""

    license: str | None = None
    """Licence of the map, an SPDX id or expression; None states none."""

    def __post_init__(self) -> None:
        check_fields(self, RANGES)
        if self.license is not None:
            checked_license(self.license)

    @property
    def extras(self) -> Extras:
        """What is written beside the map."""
        spdx = None if self.license is None else checked_license(self.license)
        layers = (QUALITY,) if self.confidence else ()
        return Extras(self.sidecars, spdx, (*layers, *self.kept_layers))

    def composite_request(self, period: "Period", *, sun: bool) -> "CompositeRequest":
        """What a composite of an area is made from.

        Args:
            period: its period.
            sun: whether the sun's zenith is wanted.

        """
        from lulcmap.imagery import CompositeRequest  # heavy; `lulcmap --help` reads the settings

        return CompositeRequest(
            period,
            self.catalog,
            profile=self.profile,
            s1_catalog=self.s1_catalog,
            fallback=self.fallback,
            s1=self.s1 != "off",
            max_cloud=self.max_cloud,
            orbit=self.orbit,
            max_s1_scenes=self.max_s1_scenes,
            rules=self.rules,
            workers=self.workers,
            patience=self.patience,
            sun=sun,
        )

    def kept_bytes(self, n_classes: int) -> int:
        """Bytes a pixel, before compression, that blocks keep for layers of the map.

        Args:
            n_classes: number of classes of the legend.

        """
        return _COMPOSITE_BYTES * self.save_composite + n_classes * self.probabilities

    @property
    def kept_layers(self) -> tuple[str, ...]:
        """Layers for which blocks keep more than their classes."""
        asked = {COMPOSITE: self.save_composite, PROBABILITIES: self.probabilities}
        return tuple(name for name in asked if asked[name])

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The settings that options ask for: fields of ``Settings`` and of ``CompositeRules``.

        Args:
            options: by name; ``mask_codes`` and ``mask_dilation`` are those of the rules.

        Raises:
            TypeError: an option is neither's.
            UsageError: a value is not one of its choices, or not in its range.

        Examples:
            >>> Settings.of({"min_clear": 3, "s1": "off"}).rules.min_clear
            3

        """
        options = dict(options)
        rules = {name: options.pop(name) for name in RULES if name in options}
        if rules:
            options["rules"] = CompositeRules(**rules)
        unknown = options.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise TypeError(f"no setting is called {' or '.join(sorted(unknown))}")
        return cls(**options)


RULES = tuple(field.name for field in fields(CompositeRules))
"""Names of the composite's rules."""
