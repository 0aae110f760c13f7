from .dask import dask_engine
from .engine import Engine, make_blocks
from .local import map_blocks

__all__ = [
    "Engine",
    "dask_engine",
    "make_blocks",
    "map_blocks",
]
