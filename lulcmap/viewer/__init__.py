"""Maps and samples in a browser: a server for one user on this machine, and its pages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
