"""Datasets to train and evaluate with: labels and their satellite images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
