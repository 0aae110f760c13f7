"""Evaluation of a model or a map against labels, and a check of a map for seams."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
