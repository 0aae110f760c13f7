from .answers import AnswerStore
from .export import export_page
from .extra import check_view_extra
from .labelling import open_labelling, serve_labelling
from .opened import open_site, serve_site
from .site import Site
from .tiles import MAX_ZOOM

__all__ = [
    "MAX_ZOOM",
    "AnswerStore",
    "Site",
    "check_view_extra",
    "export_page",
    "open_labelling",
    "open_site",
    "serve_labelling",
    "serve_site",
]
