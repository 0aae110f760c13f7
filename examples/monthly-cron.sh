#!/bin/sh
# A cron job that keeps a map of last year up to date, on the first nights of each month:
#
#     0 3 1-7 * * /path/to/monthly-cron.sh /data/luxembourg.geojson /data/maps
#
# It stops after 20 hours (LULCMAP_TIMEOUT, seconds) and resumes the next night; once the map is made,
# the remaining nights have nothing to do. One line on stdout says how it went, for cron to mail. The
# log is beside the map, one JSON object per line. The exit code is that of `lulcmap predict`.
set -eu
area=$1
folder=$2
year=$(($(date +%Y) - 1))
out=$folder/$(basename "$area" .geojson)-$year.tif

mkdir -p "$folder"
code=0
lulcmap predict --aoi "$area" --year "$year" --out "$out" \
    --timeout "${LULCMAP_TIMEOUT:-72000}" --log-format json 2>>"$out.log" || code=$?

case $code in
0) ;; # lulcmap printed the line
4) echo "$out: made, but less of the area is mapped than --min-coverage asks for; see its report" ;;
5) echo "$out: the provider failed; the next call resumes" ;;
124 | 130 | 143) echo "$out: stopped; the next call resumes" ;;
*) echo "$out: failed with exit code $code; the last line of $out.log says why" ;;
esac
exit "$code"
