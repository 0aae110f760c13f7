"""The shipped model's recipe, under the name in its file: see ``recipes/real_land``."""
