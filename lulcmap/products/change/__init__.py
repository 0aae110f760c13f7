"""Change between maps of one place: transitions, trajectories, their raster, tables and picture."""
