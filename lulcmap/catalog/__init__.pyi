from .frozen import freeze_items, items_digest
from .hrefs import HrefRefusedError, is_private, resolve_href
from .period import Period, make_period, s1_period
from .providers import CDSE, PROFILES, Profile
from .scene import Scene
from .search import SearchResult, find_scenes, first_hrefs, shows_simulated
from .selection import Datatake, S1Choice, choose_s1, own_grid_first, rank_s2
from .signing import SUBSCRIPTION_KEY, Sign, signer, unsigned
from .skip import SkippedItem, count_reasons, say_reasons
from .sources import Catalog, CatalogSource, fallback_sources, is_remote, source_name, sources_of

__all__ = [
    "CDSE",
    "PROFILES",
    "SUBSCRIPTION_KEY",
    "Catalog",
    "CatalogSource",
    "Datatake",
    "HrefRefusedError",
    "Period",
    "Profile",
    "S1Choice",
    "Scene",
    "SearchResult",
    "Sign",
    "SkippedItem",
    "choose_s1",
    "count_reasons",
    "fallback_sources",
    "find_scenes",
    "first_hrefs",
    "freeze_items",
    "is_private",
    "is_remote",
    "items_digest",
    "make_period",
    "own_grid_first",
    "rank_s2",
    "resolve_href",
    "s1_period",
    "say_reasons",
    "shows_simulated",
    "signer",
    "source_name",
    "sources_of",
    "unsigned",
]
