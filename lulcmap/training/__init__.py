"""Training and export of LULC-Former: the only part of lulcmap that needs torch."""
