"""Seams: whether classes change more often across the borders of blocks, windows and zones."""
