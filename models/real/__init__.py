"""The recipe of the shipped model by the name its file gives: see ``recipes/real_land``."""
