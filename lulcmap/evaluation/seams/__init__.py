"""Seams: classes that change more often across the borders of blocks, windows and zones."""
