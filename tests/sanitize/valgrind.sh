#!/bin/sh
# The program under valgrind, which sees what AddressSanitizer does not: memory that is used before it is written.
# valgrind 3.19 knows no AVX-512, hence -Disa=avx2; libraries stay out, their kernels are not ours to mend.
#     tests/sanitize/valgrind.sh [BUILD]        (default: build-valgrind, made here)
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build-valgrind}
[ -e "$build/build.ninja" ] ||
    meson setup "$build" -Disa=avx2 -Dcuda=disabled -Dgbench=disabled -Dopenblas=disabled -Dblis=disabled \
        -Donednn=disabled --buildtype=debugoptimized -Ddebug=false -Dc_args=-g1 >/dev/null
ninja -C "$build" --quiet harness/fflab tests/fuzz/fuzz_replay
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# Its presence stops the program from starting itself again, which valgrind would follow into its own file.
export FFLAB_BLAS='{}'

memcheck() {
    echo "valgrind: $*"
    valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
        --errors-for-leak-kinds=definite "$@" >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
}

fflab="$build/harness/fflab"
layer=tests/fixtures/h1_d2_p1_b9
memcheck "$build/tests/fuzz/fuzz_replay" tests/fuzz/corpus
memcheck "$fflab" list
memcheck "$fflab" check --in-process --tree 1x3,2x2 --width 9 --batch 1,5 --out "$out/run"
memcheck "$fflab" check --in-process -v '*naive' --fixture "real:$layer/h1_d2_p1_b9.safetensors" --out "$out/run"
memcheck "$fflab" run fff_naive --weights "$layer/h1_d2_p1_b9.safetensors" --input "$layer/x.npy" --output "$out/y.npy"
memcheck "$fflab" check --in-process -v '*naive' --tree 1x3 --width 9 --batch 3 --threads 2 --out "$out/run"
memcheck "$fflab" check --weights "$layer/h1_d2_p1_b9.safetensors" --input "$layer/x.npy" --result "$out/y.npy"
memcheck "$fflab" encoder --in-process --checkpoint tests/fixtures/encoder_bert --seq 5 --batch 2 -v ff_naive --budget 1s \
    --out "$out/run"
memcheck "$fflab" report "$out/run"
