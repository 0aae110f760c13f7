"""Search of STAC APIs that never leaves items out silently."""
