"""A simulated country: scenes of Sentinel-1 and Sentinel-2, and the true map."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
