"""A check of the machine and of the providers: what works here, what does not, what to do."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
