#!/bin/sh
# A cron job that keeps a map of last year up to date:
#
#     0 3 1 * * /path/to/monthly-cron.sh /data/luxembourg.geojson /data/maps
#
# Run again, it finds the map made and ends with 0; killed, it goes on at the next call.
set -eu
area=$1
folder=$2
year=$(($(date +%Y) - 1))

mkdir -p "$folder"
lulcmap predict --aoi "$area" --year "$year" --out "$folder/$(basename "$area" .geojson)-$year.tif" \
    --log-format json --json
