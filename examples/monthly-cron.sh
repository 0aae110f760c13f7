#!/bin/sh
# A cron job that makes a new map each month: of the last twelve months, on the first nights of the month.
#
#     LULCMAP=/opt/lulcmap/bin/lulcmap
#     0 3 1-7 * * /path/to/monthly-cron.sh /data/luxembourg.geojson /data/maps
#
# For a map of each month alone, set LULCMAP_PERIOD=1month in the crontab. Options of `lulcmap predict` may
# follow the folder: ... /data/maps --model /data/mine.onnx --zones
#
# cron starts jobs with a short PATH: LULCMAP is the program, where that PATH does not find it.
#
# It stops after 20 hours (LULCMAP_TIMEOUT, seconds) and resumes the next night; once the map is made,
# the remaining nights have nothing to do. One line on stdout says how it went, for cron to mail. The
# log is beside the maps, one JSON object per line. The exit code is that of `lulcmap predict`.
set -eu
case $1 in /*) area=$1 ;; *) area=$PWD/$1 ;; esac
folder=$2
shift 2
lulcmap=${LULCMAP:-lulcmap}
if ! command -v "$lulcmap" >/dev/null; then
    echo "$lulcmap was not found in $PATH; set LULCMAP to its path in the crontab"
    exit 127
fi

mkdir -p "$folder"
cd "$folder" # the map is named after the area and the period: luxembourg-2025-11_2026-10.tif
log=$(basename "${area%.*}").log
code=0
"$lulcmap" predict --aoi "$area" --last "${LULCMAP_PERIOD:-12months}" \
    --timeout "${LULCMAP_TIMEOUT:-72000}" --log-format json "$@" 2>>"$log" || code=$?

case $code in
0) ;; # lulcmap printed the line
4) echo "$folder: a map is made, but covers less of $area than --min-coverage; see its report" ;;
5) echo "$folder: the provider failed; the next call resumes" ;;
124 | 130 | 143) echo "$folder: stopped; the next call resumes" ;;
*) echo "$folder: failed with exit code $code; the last line of $log says why" ;;
esac
exit "$code"
