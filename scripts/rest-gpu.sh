#!/usr/bin/env bash
# Shows that a review gives its GPU memory back while an adapter is trained, and takes it again afterwards. Wants a GPU, a
# binary built with CUDA (MEKIKI names it), util-linux's `script` and nvidia-smi.
#
#   MEKIKI=target/release/mekiki scripts/rest-gpu.sh [SHAPE]
#
# A random model of the shape (2b, when not given) predicts pin boards in a review; a training with --alone begins and is
# stopped. A line for each moment: what it is, and the memory that is in use on the GPU.
set -euo pipefail
mekiki=${MEKIKI:-mekiki}
shape=${1:-2b}
folder=$(mktemp -d)
export HOME=$folder XDG_STATE_HOME=$folder XDG_CONFIG_HOME=$folder XDG_DATA_HOME=$folder XDG_CACHE_HOME=$folder
project=$folder/boards
told() { printf '%-48s %s MiB\n' "$1" "$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -1)"; }
training() { "$mekiki" -C "$project" train "$@"; }
predictions() { "$mekiki" -C "$project" --json stats | grep -o '"predictions":[0-9]\+' | head -1 | cut -d: -f2; }

"$mekiki" boards "$project" --count 2000 > "$folder/made"
"$mekiki" -C "$project" import "$project/samples.jsonl"
"$mekiki" model new "$project/models/demo" --shape "$shape"
"$mekiki" -C "$project" approve --where labelled
told "before"
# The review waits for keys; without a keyboard it would end.
sleep 3600 | TERM=xterm-256color script -qfc "$mekiki -C $project review --device cuda" "$folder/screen" > "$folder/seen" 2>&1 &
review=$!
trap 'kill $review 2> /dev/null || true; "$mekiki" -C "$project" train --stop > "$folder/stopped" 2>&1 || true; rm -rf "$folder"' EXIT
until [ "$(predictions || echo 0)" -gt 40 ] 2> "$folder/none"; do sleep 1; done
told "the review predicts"
training --lora -o scratches --steps 100000 --detach --alone
training --status
told "the training has begun"
sleep 20
before=$(predictions)
told "20 s later"
sleep 5
echo "predictions in 5 s of training: $(($(predictions) - before))"
training --stop
sleep 20
told "20 s after the training's end"
echo "predictions since: $(($(predictions) - before))"
