#!/usr/bin/env bash
# The whole loop from the shell: the demo's model predicts, samples are approved and written as a training set, an adapter is
# trained on them, predicts in its turn, and both are compared and measured.
#
#   examples/loop.sh [FOLDER]
#
# MEKIKI names the binary, SOME_SAMPLES filters the samples that are predicted and approved, STEPS says how long is trained. As
# they stand, this takes a few minutes on two cores, and the adapter learns next to nothing; SOME_SAMPLES="" STEPS=1000 wants
# a GPU.
set -euo pipefail
mekiki=${MEKIKI:-mekiki}
folder=${1:-$(mktemp -d)}
some=${SOME_SAMPLES-"id=*000*"}
steps=${STEPS:-2}
project=$folder/demo
run() {
    echo "\$ mekiki $*"
    "$mekiki" -C "$project" "$@"
}

"$mekiki" demo --no-review "$project"
run predict --where "$some"
# Labels count where there are some, what the model says where there are none.
run approve --where "$some" --take label
run export --out "$folder/training-set"
test -s "$folder/training-set/metadata.jsonl"
run train --lora --out scratches --rank 4 --steps "$steps" --warm-up 1 --batch 2 --micro-batch 2 --log-every 1 --evaluate-on 1 --one-shot-share 0 --plain
run predict --where "$some" --adapter scratches
run compare demo adapter=scratches --where "$some"
run eval --adapter scratches --kind zero-shot --where "$some" --truth "$project/truth.jsonl"
run stats
