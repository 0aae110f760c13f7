"""What a map says of itself beyond its plan."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import shapely

from lulcmap.legend import LandCover


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a run knows and its plan does not need: ``about.json`` of the run folder."""

    area: shapely.MultiPolygon
    """The area; longitude, latitude, degrees."""

    name: str
    """Name of the area."""

    plan: str
    """Digest of the plan."""

    request: str
    """Digest of the request: ``Plan.request``."""

    remote: bool
    """Whether the catalogue is a provider or an API, whose answers change by the day."""

    notes: tuple[str, ...]
    """Sentences for the report."""

    skipped: tuple[tuple[str, str], ...]
    """Ids of the items that are not used, each with the reason."""

    catalog: str
    """Name of the provider, or of both."""

    platforms: Mapping[str, int]
    """How many scenes each satellite gave."""

    simulated: bool
    """Whether every scene shows simulated land."""

    s1_orbit: str | None
    """Orbit direction of Sentinel-1, ``"descending"`` or ``"ascending"``; None without it."""

    trained_on: str
    """Kind of land the model was trained on, ``"simulated"`` or ``"real"``."""

    quality: str
    """How good the model is, in words that follow its name."""

    legend: tuple[LandCover, ...]
    """The map's classes."""

    acquired: Mapping[str, str] = field(default_factory=dict)
    """When each scene was acquired, UTC, ISO 8601, by its id."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """Address of each scene's STAC item, by its id, of those that have one."""

    layers: tuple[str, ...] = ()
    """Layers of the map for which blocks keep more than ``BLOCK_BANDS``."""

    def to_json(self) -> dict[str, Any]:
        """The values of ``about.json``; ``knows`` and ``worth`` are named as in version 0.1.0."""
        values = {field: getattr(self, field) for field in _PLAIN}
        return {
            **values,
            "area": shapely.geometry.mapping(self.area),
            "platforms": dict(self.platforms),
            "knows": self.trained_on,
            "worth": self.quality,
            "legend": [asdict(cover) for cover in self.legend],
            "acquired": dict(self.acquired),
            "addresses": dict(self.addresses),
            "layers": list(self.layers),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What ``to_json`` made the values of; version 0.1.0 did not write ``remote``.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the values are of something else.

        """
        try:
            area = shapely.geometry.shape(values["area"])
        except shapely.errors.ShapelyError as error:
            raise ValueError(str(error)) from error
        legend = tuple(LandCover(**cover) for cover in values["legend"])
        if not isinstance(area, shapely.MultiPolygon) or not legend:
            raise ValueError("the area is no MultiPolygon, or the legend is empty")
        plain = {field: values[field] for field in _PLAIN if field != "remote"}
        plain["notes"] = tuple(plain["notes"])
        plain["skipped"] = tuple((str(item), str(why)) for item, why in plain["skipped"])
        return cls(
            area=area,
            remote=bool(values.get("remote", False)),
            platforms=dict(values["platforms"]),
            trained_on=values["knows"],
            quality=values["worth"],
            legend=legend,
            acquired=dict(values.get("acquired", {})),
            addresses=dict(values.get("addresses", {})),
            layers=tuple(values.get("layers", ())),
            **plain,
        )


_PLAIN = (
    *("name", "plan", "request", "remote", "notes", "skipped", "catalog"),
    *("simulated", "s1_orbit"),
)
"""Fields that are JSON as they are."""
