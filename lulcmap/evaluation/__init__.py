"""How good a model or a map is, against labels; and whether a map has seams."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
