#!/bin/sh
# The printed circuits as a project to train on: all crops imported, their labels approved, exemplars made.
#
#   scripts/pcb-project.sh pcb-crops.zip DIR [EXEMPLARS]
#
# DIR must be new or empty. The box stays a field of every sample, where the dense loss finds it; the answer does not ask
# for it, since four numbers of a small model are never exact. MEKIKI names the program (mekiki).
set -eu
mekiki=${MEKIKI:-mekiki}
archive=$1
dir=$2
exemplars=${3:-18}

"$mekiki" init "$dir" --template pcb --name pcb
# The answer's line and what the instructions say of it.
sed -i \
    -e '/^- defect box->{bbox}$/d' \
    -e 's/, defect position, defect box\./, defect position./' \
    -e 's/, the defect position none and the defect box none\./ and the defect position none./' \
    -e 's/、defect position、defect box を/、defect position を/' \
    -e 's/、defect position と defect box は none です/、defect position は none です/' \
    "$dir/mekiki.toml"
if grep -q 'defect box\.' "$dir/mekiki.toml"; then
    echo "the pcb template has changed: $dir/mekiki.toml still asks for the box" >&2
    exit 1
fi
"$mekiki" -C "$dir" import "$archive"
"$mekiki" -C "$dir" approve --where '' --take label
"$mekiki" -C "$dir" exemplar make --from-passed "$exemplars"
"$mekiki" -C "$dir" stats
