"""What providers charge for the bytes that are read from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lulcmap.catalog import SearchResult, first_hrefs
from lulcmap.planning.estimate.values import Egress, Reads


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tariff:
    """What a provider charges, with the source of it."""

    dollars_per_gb: float
    """Dollars per gigabyte that leaves it."""

    terms: str
    """Why, and what limits there are."""

    source: str
    """Where that is said, and when it was read."""


_TARIFFS: Mapping[str, _Tariff] = MappingProxyType(
    {
        "planetary-computer": _Tariff(
            dollars_per_gb=0.0,
            terms="open to all with tokens that belong to no account, fastest in Azure West Europe",
            source="microsoft/PlanetaryComputer, issue 424 (2025-03), and its page on SAS tokens, "
            "https://planetarycomputer.microsoft.com/docs/concepts/sas/",
        ),
        "earth-search": _Tariff(
            dollars_per_gb=0.0,
            terms="a public bucket of AWS Open Data, read without an account",
            source="https://registry.opendata.aws/sentinel-2-l2a-cogs/; buckets for which the "
            "requester pays refuse anonymous reads (Amazon S3 User Guide, Requester Pays), 2026-11",
        ),
        "cdse": _Tariff(
            dollars_per_gb=0.0,
            terms="free up to 12 TB a month for an account, then 1 MB/s",
            source="https://documentation.dataspace.copernicus.eu/Quotas.html, as of 2026-06",
        ),
    }
)
"""Tariffs by the name of the provider; those of others are not known."""


def egress_of(scenes: SearchResult, reads: Reads) -> tuple[Egress, ...]:
    """What is read from each source, and what it charges for that.

    Args:
        scenes: scenes of the map, with the source of each sensor.
        reads: what the blocks read.

    """
    of_sensor = {"s2": reads.bytes - reads.s1_bytes, "s1": reads.s1_bytes}
    hrefs = first_hrefs(scenes)
    totals: dict[tuple[str, bool], float] = {}
    for sensor, href in hrefs.items():  # a source without scenes sends nothing
        key = scenes.sources[sensor].name, "://" in href
        totals[key] = totals.get(key, 0.0) + of_sensor[sensor]
    return tuple(_egress(name, size, is_remote=remote) for (name, remote), size in totals.items())


def _egress(name: str, size: float, *, is_remote: bool) -> Egress:
    if not is_remote:
        return Egress(name, size, 0.0, "files here", None)
    tariff = _TARIFFS.get(name)
    if tariff is None:
        return Egress(name, size, None, "unknown: ask whoever serves these files", None)
    return Egress(name, size, tariff.dollars_per_gb * size / 1e9, tariff.terms, tariff.source)
