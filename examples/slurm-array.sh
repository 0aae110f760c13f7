#!/bin/sh
# A map on a SLURM cluster: the tasks of an array share the blocks, then a job joins them.
#
#     ./slurm-array.sh france.geojson 2024 /shared/maps/france.tif 10
#
# Options of `lulcmap predict` may follow the number of shards: ... 10 --model mine.onnx --max-cloud 60
#
# All nodes must see the map's folder. Set options of sbatch, such as the partition, with its environment
# variables (SBATCH_PARTITION=gpu ./slurm-array.sh ...).
#
# A task stops itself before its time limit and is queued again, until its blocks are done. Resubmit tasks
# that failed by number, then join:
#
#     sbatch --array=3,7 ./slurm-array.sh france.geojson 2024 /shared/maps/france.tif 10
#     lulcmap assemble /shared/maps/france.tif.run
#
# This is why the number of shards is an argument, not SLURM_ARRAY_TASK_COUNT, which would be 2 here.
# The array starts at 1, like shards.
#SBATCH --job-name=lulcmap
#SBATCH --cpus-per-task=4
#SBATCH --mem=10G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
area=$1
year=$2
out=$3
shards=$4

if [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then # not a task: called by the user
    job=$(sbatch --parsable --array="1-$shards" "$0" "$@")
    sbatch --dependency="afterok:${job%%;*}" --kill-on-invalid-dep=yes --job-name=lulcmap-assemble \
        --cpus-per-task=2 --mem=10G --time=12:00:00 --wrap="lulcmap assemble '$out.run'"
    exit
fi

shift 4
code=0
lulcmap predict --aoi "$area" --year "$year" --out "$out" --shard "$SLURM_ARRAY_TASK_ID/$shards" \
    --timeout 41400 --max-memory 8GB --log-format json "$@" || code=$?
if [ "$code" -eq 124 ]; then # 11.5 of the 12 hours are over
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
