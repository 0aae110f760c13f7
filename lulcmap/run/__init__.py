"""What a run keeps on disk: plan, items, blocks, locks and heartbeat; and how far it is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
