"""National land-use/land-cover maps from Sentinel-1 and Sentinel-2.

import lulcmap

report = lulcmap.map_area("country.geojson", year=2024)
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
