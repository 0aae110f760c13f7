"""Landscapes of what the teacher does not know: deserts, steppe, wetland, shrub, snow, low sun."""
