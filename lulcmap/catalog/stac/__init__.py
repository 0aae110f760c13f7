"""STAC APIs, searched so that nothing is left out silently."""
