#!/bin/sh
# Installs what tests/integration needs, on Debian: PostgreSQL with PostGIS, nginx, QGIS (1.3 GB),
# Chromium, Azurite, axe-core, and into the active Python environment stac-fastapi with pgstac, moto,
# Azure's client and Playwright, which drives Chromium.
#
#     sh tests/services.sh FOLDER     Azurite and axe-core go to FOLDER; put
#                                     FOLDER/node_modules/.bin on PATH
set -eu
folder=${1:?name a folder for Azurite and axe-core: sh tests/services.sh FOLDER}
cd "$(dirname "$0")/.."

packages=
[ -x /usr/lib/postgresql/15/bin/initdb ] || packages="postgresql-15"
[ -e /usr/share/postgresql/15/extension/postgis.control ] || packages="$packages postgresql-15-postgis-3"
[ -x /usr/sbin/nginx ] || packages="$packages nginx-light"
/usr/bin/python3 -c "import qgis.core" 2>/dev/null || packages="$packages python3-qgis"
command -v chromium >/dev/null || packages="$packages chromium fonts-noto-core"
command -v npm >/dev/null || packages="$packages npm"
if [ -n "$packages" ]; then
    # Runlevel 1: the tests start servers of their own, the packages need not start theirs.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -qq --no-install-recommends $packages >/dev/null
fi

[ -x "$folder/node_modules/.bin/azurite-blob" ] ||
    npm install --silent --no-audit --no-fund --prefix "$folder" azurite@3
[ -e "$folder/node_modules/axe-core/axe.min.js" ] ||
    npm install --silent --no-audit --no-fund --prefix "$folder" axe-core@4

python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' # knows dependency groups
python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,train]' \
    --group dev --group services
