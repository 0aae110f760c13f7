"""Overpasses: the date of each, its swath, its pixels and its STAC item."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.sensors import S2_OFFSET
from lulcmap.simulation.archive import Archive
from lulcmap.simulation.clouds import make_atmosphere
from lulcmap.simulation.country import Country
from lulcmap.simulation.land import Land
from lulcmap.simulation.signal import LOOKS, STEPS, Statistics, Swath, optical_scene, radar_scene

_FINE, _COARSE = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B11", "B12")
_CLOUD_CODES = (8, 9, 10)

_S2_STREAM, _S1_STREAM, _SPECKLE_STREAM = 2, 3, 4
"""Streams of random numbers; each has one key per date."""

_S2_ORBITS = (65, 22)
_S1_ORBITS = ((168, "descending", 5), (15, "ascending", 17))
"""Relative orbit, direction and hour (UTC) of each overpass."""

_EVERYWHERE = Swath(-1.0, 0.0, 1)

_SWATH_TILT = 0.21
"""Columns that a swath's edge moves per row: the track's angle at middle latitudes."""


def add_optical(
    archive: Archive, country: Country, land: Land, statistics: Statistics, number: int
) -> None:
    """Add the ``number``-th Sentinel-2 date to an archive."""
    rng = country.rng(_S2_STREAM)
    moment = _moment(rng, country, country.s2_dates, number, hour=10)
    relative_clouds = rng.uniform(0, 2, country.s2_dates)
    is_hazy = rng.permutation(country.s2_dates) < round(country.haze * country.s2_dates)
    is_old = rng.permutation(country.s2_dates) < round(country.old_baseline * country.s2_dates)
    edge, side = rng.uniform(0.25, 0.4), int(rng.choice((-1, 1)))
    edge = edge if side > 0 else 1 - edge
    is_second_orbit = number % 3 == 1  # its swath ends in the country; the first covers it
    cloud_cover = country.cloud * relative_clouds[number] / max(relative_clouds.mean(), 1e-9)
    atmosphere = make_atmosphere(
        country.key(_S2_STREAM, number),
        country.shape,
        cloud=min(float(cloud_cover), 0.95),
        haze=350.0 if is_hazy[number] else 0.0,
    )
    fine, coarse, scl = optical_scene(
        land,
        statistics,
        country.key(_S2_STREAM, number, 1),
        step=season_step(moment, country),
        atmosphere=atmosphere,
        swath=_swath(country, edge, side, -_SWATH_TILT) if is_second_orbit else _EVERYWHERE,
        offset=0 if is_old[number] else S2_OFFSET,
    )
    orbit, platform = _S2_ORBITS[int(is_second_orbit)], "AB"[number % 2]
    assets: dict[str, tuple[NDArray[Any], int]] = {
        **{band: (pixels, 10) for band, pixels in zip(_FINE, fine, strict=True)},
        **{band: (pixels, 20) for band, pixels in zip(_COARSE, coarse, strict=True)},
    }
    if number < country.s2_dates - country.without_scl:
        assets["SCL"] = (scl, 20)
    archive.add(
        "sentinel-2-l2a",
        f"S2{platform}_MSIL2A_{moment:%Y%m%dT%H%M%S}_R{orbit:03d}_simulated",
        assets,
        {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "platform": f"Sentinel-2{platform}",
            "constellation": "Sentinel 2",
            "instruments": ["msi"],
            "sat:orbit_state": "descending",
            "sat:relative_orbit": orbit,
            "s2:processing_baseline": "03.01" if is_old[number] else "05.10",
            "eo:cloud_cover": _percent(np.isin(scl, _CLOUD_CODES), scl > 0),
            "s2:nodata_pixel_percentage": _percent(scl == 0, np.ones_like(scl, bool)),
        },
    )


def add_radar(
    archive: Archive, country: Country, land: Land, statistics: Statistics, number: int
) -> None:
    """Add the ``number``-th Sentinel-1 date to an archive."""
    rng = country.rng(_S1_STREAM)
    orbit, state, hour = _S1_ORBITS[number % 2]
    moment = _moment(rng, country, country.s1_dates, number, hour=hour)
    descending = state == "descending"
    edge = rng.uniform(0.02, 0.08, 2)[number % 2]
    gamma0 = radar_scene(
        land,
        statistics,
        country.rng(_SPECKLE_STREAM, number),
        country.key(_S1_STREAM, number),
        step=season_step(moment, country),
        swath=_swath(
            country,
            edge if descending else 1 - edge,
            1 if descending else -1,
            -_SWATH_TILT if descending else _SWATH_TILT,
        ),
    )
    archive.add(
        "sentinel-1-rtc",
        f"S1A_IW_GRDH_1SDV_{moment:%Y%m%dT%H%M%S}_R{orbit:03d}_rtc_simulated",
        {"vv": (gamma0[0], 10), "vh": (gamma0[1], 10)},
        {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "platform": "SENTINEL-1A",
            "constellation": "Sentinel-1",
            "sat:orbit_state": state,
            "sat:relative_orbit": orbit,
            "sar:instrument_mode": "IW",
            "sar:frequency_band": "C",
            "sar:product_type": "GRD",
            "sar:polarizations": ["VV", "VH"],
            "sar:looks_equivalent_number": LOOKS,
        },
    )


def season_step(moment: datetime, country: Country) -> int:
    """Ten-day step of the northern year with the same season as a moment."""
    south = STEPS // 2 if 32701 <= country.epsg <= 32760 else 0
    return (int((moment.timetuple().tm_yday - 1) / 366 * STEPS) + south) % STEPS


def _moment(
    rng: np.random.Generator, country: Country, dates: int, number: int, *, hour: int
) -> datetime:
    """Time of a date: even over the year, up to a fifth of the interval early or late."""
    interval = 365 / dates
    shift = rng.uniform(-0.2, 0.2, dates)[number]
    day = int((number + 0.5 + shift) * interval)
    return datetime(country.year, 1, 1, hour, 20, 21) + timedelta(days=day)


def _swath(country: Country, edge: float, side: int, tilt: float) -> Swath:
    """A swath whose edge crosses the country's middle row at a share of the width."""
    return Swath(edge * country.width - tilt * country.height / 2, tilt, side)


def _percent(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return round(100 * float(part.sum()) / max(float(whole.sum()), 1.0), 2)
