"""Training of ``lulcformer`` on a GPU machine without this project's data, in ten minutes.

Here, once, ``python -m recipes.real_land.gpu pack`` puts the labelled scenes, the points and what
is judged into one small file. There, ``train`` needs that file, this repository, torch, numpy,
scipy and pyarrow, but neither rasterio nor GDAL. What it leaves are parts small enough to be
copied; ``join`` makes a checkpoint of them, which ``lulcmap export-onnx --window 256`` takes.
"""
