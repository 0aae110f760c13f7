from .extra import check_view_extra
from .server import served

__all__ = ["check_view_extra", "served"]
