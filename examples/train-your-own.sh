#!/bin/sh
# From label tiles to a map made by your own network, offline: a simulated country, with label tiles in
# Dynamic World's format, stands in for the real data. Takes minutes on two cores; needs
# pip install 'lulcmap[cpu,train]'.
#
#     sh examples/train-your-own.sh FOLDER
#
# With real data: unpack Dynamic World's label tiles (docs/dataset.md) for --labels, omit --catalog, and
# train the full lulcformer on a GPU with its other options at their defaults, which are the paper's.
set -eu
folder=${1:?Give a folder to work in.}
side=${SIDE:-1600} tile=${TILE:-254} epochs=${EPOCHS:-60}
mkdir -p "$folder"

python - "$folder" "$side" "$tile" <<'PYTHON'
import sys
from pathlib import Path

from lulcmap.simulation import Country, LabelSet, simulate, simulate_labels

folder, side, tile = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
country = Country(seed=77, height=side, width=side, s2_dates=6, s1_dates=6, cloud=0.1)
scenes = simulate(folder / "country", country)
wanted = LabelSet(size=tile, experts=8, nonexperts=12, holdout=4)
simulate_labels(folder / "labels", country, scenes, wanted)
PYTHON

# Build chips of the labels and the scenes of their days; check them, and draw some.
lulcmap dataset build --labels "$folder/labels" --catalog "$folder/country/items.json" \
    --out "$folder/dataset"
lulcmap dataset check "$folder/dataset"

# If interrupted, rerun the same command; it resumes.
lulcmap train --data "$folder/dataset" --out "$folder/training" --model lulcformer-tiny \
    --epochs "$epochs" --batch-size 4 --crop 128 --learning-rate 1e-3

# Measure it on tiles that four annotators labelled and that it has not seen.
lulcmap evaluate "$folder/training/best.pt" --data "$folder/dataset" --split test \
    --out "$folder/scores"

# Export one file with its contract, map the whole country with it, and measure the map.
lulcmap export-onnx "$folder/training/best.pt" --out "$folder/mine.onnx" --name mine --overwrite
lulcmap predict --aoi "$folder/country/aoi.geojson" --year 2024 \
    --catalog "$folder/country/items.json" --model "$folder/mine.onnx" --out "$folder/map.tif"
lulcmap evaluate "$folder/map.tif" --labels "$folder/country/truth.tif" --out "$folder/map-scores"
