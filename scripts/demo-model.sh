#!/bin/sh
# Trains the demo's model again: sh scripts/demo-model.sh OUT
# Half an hour on one H200 (mekiki built with --features cuda, on PATH or named by MEKIKI). An interrupted step is gone on with
# by adding --resume to its command.
set -eu
out=${1:?usage: sh scripts/demo-model.sh OUT}
mekiki=${MEKIKI:-mekiki}
mkdir -p "$out"

"$mekiki" train --boards 1 --shape small --keep 24000 --time-limit 490 --steps 100000 \
    --evaluate-every 400 --evaluate-on 512 -o "$out/first"
"$mekiki" train --boards 2 --from "$out/first" --keep 24000 --time-limit 410 --steps 100000 --batch 128 --lr 7e-4 \
    --warm-up 150 --one-shot-share 0.4 --evaluate-every 600 --evaluate-on 512 -o "$out/second"
# What was still overlooked were burrs, and a few scratches.
"$mekiki" train --boards 3 --from "$out/second" --often burr=4 --often scratch=2 --keep 24000 --time-limit 480 --steps 100000 \
    --batch 128 --lr 6e-4 --warm-up 150 --one-shot-share 0.4 --evaluate-every 600 --evaluate-on 512 -o "$out/demo"
echo "the model is in $out/demo"
