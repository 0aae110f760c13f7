#!/bin/sh
# A cron job that keeps a map of last year up to date, in the first nights of each month:
#
#     0 3 1-7 * * /path/to/monthly-cron.sh /data/luxembourg.geojson /data/maps
#
# It stops after 20 hours (LULCMAP_TIMEOUT, seconds) and goes on in the next night; once the map is
# made, the other nights find it made. One line on stdout says how it went, which cron mails; the
# logs, one JSON object a line, are beside the map. The exit code is that of `lulcmap predict`.
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
0) ;; # lulcmap has said so
4) echo "$out: made, and less of it is mapped than was wanted; see its report" ;;
5) echo "$out: the provider failed; the next call goes on" ;;
124 | 130 | 143) echo "$out: stopped; the next call goes on" ;;
*) echo "$out: failed with exit code $code; the last line of $out.log says why" ;;
esac
exit "$code"
