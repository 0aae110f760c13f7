#!/bin/sh
# Installs lulcmap for development into the active Python environment and passes every check.
set -eu
cd "$(dirname "$0")/.."

python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' # knows dependency groups
python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,train]' --group dev --group docs
ruff check .
ruff format --check .
mypy
# A file's tests stay together, for they share what was made for them; one thread a process, since
# threads that wait for a core by spinning take it from the others. In their order: the slow files of
# tests/integration come first, and no process is left alone with them.
OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
    --no-loadscope-reorder "$@"
