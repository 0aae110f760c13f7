from .export import export_page
from .extra import check_view_extra
from .opened import open_site, serve_site
from .site import Site

__all__ = ["Site", "check_view_extra", "export_page", "open_site", "serve_site"]
