#!/bin/sh
# The program itself under ThreadSanitizer (clang, with libomp, whose archer tells it of OpenMP's barriers; gcc's libgomp
# would be one false alarm after the other): our own threaded kernels, on shapes that split unevenly. The libraries bring
# threads of their own and stay out. Criterion cannot start under it.
#     tests/sanitize/threads.sh [BUILD]        (default: build-tsan, made here)
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build-tsan}
[ -e "$build/build.ninja" ] ||
    CC=clang CXX=clang++ meson setup "$build" -Dcuda=disabled -Dtests=disabled -Dgbench=disabled -Dopenblas=disabled \
        -Dblis=disabled -Donednn=disabled -Doptimization=1 -Ddebug=false -Dc_args=-g1 -Db_sanitize=thread -Db_lundef=false >/dev/null
ninja -C "$build" --quiet harness/fflab
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# The suppression: libomp is not built for ThreadSanitizer; archer covers what it does on our behalf, not its insides.
echo 'called_from_lib:libomp' >"$out/suppressions"
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 ignore_noninstrumented_modules=1 suppressions=$out/suppressions"
export FFLAB_BLAS='{}' # no libraries to measure

fflab="$build/harness/fflab"
"$fflab" list --json >"$out/list.json"
names=$(python3 -c 'import json, sys
for v in json.load(open(sys.argv[1]))["variants"]:
    if v["place"] == "host" and v.get("threaded"): print("-v", v["name"])' "$out/list.json")
[ -n "$names" ] || { echo "no threaded variant in this build"; exit 1; }
# shellcheck disable=SC2086 # a list of words
"$fflab" check $names --tree 1x4,3x2 --width 33 --batch 1,2,7,65 --threads 2,3 --fixture random,thrash
# shellcheck disable=SC2086
"$fflab" bench $names --tree 1x4 --width 33 --batch 65 --threads 2 --out "$out/run" -- --benchmark_min_time=0.001 \
    --benchmark_repetitions=3
