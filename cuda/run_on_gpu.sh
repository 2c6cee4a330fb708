#!/bin/bash
# Everything that needs the card, in three calls of under ten minutes each:
#
#   cuda/run_on_gpu.sh check   [OUT]   every device variant against the reference; compute-sanitizer on a part of that
#   cuda/run_on_gpu.sh bench   [OUT]   speed: the paper's layer, hot and cold, then other trees
#   cuda/run_on_gpu.sh encoder [OUT]   whole models, and the report of all stages in OUT
#
# OUT (default: gpu-results) receives STAGE.jsonl, the journal of a stage, and STAGE.log, all it printed. Copy the
# journals to reports/results/<card>/ to publish them; `fflab report OUT/*.jsonl --out DIR` needs no GPU.
#
# The program is $FFLAB, or ./fflab beside this script (a bundle), or the tree's, built without installing anything.
# GLOB chooses variants ('*cuda*' and '*cublas*'), MINUTES the budget of a stage (8). The exit code is the gravest of
# the steps: 0 good, 1 usage, 2 something FAILED, 5 nothing ran (no usable device).
# shellcheck disable=SC2317 # functions that `step` calls by name
set -uo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
stage=${1:-}
out=${2:-gpu-results}
minutes=${MINUTES:-8}
worst=0

die() { printf 'run_on_gpu: %s\n' "$*" >&2; exit 1; }

case $stage in check | bench | encoder) ;; *) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 1 ;; esac
case $minutes in '' | *[!0-9]* | 0) die "MINUTES=$minutes: expected a whole number above 0" ;; esac

program=()
if [ -n "${FFLAB:-}" ]; then program=("$FFLAB")
elif [ -x "$here/fflab" ] && [ ! -f "$here/meson.build" ]; then program=("$here/fflab")
else program=("$here/../fflab" --no-install); fi

mkdir -p "$out" || die "cannot make $out"
work=$(mktemp -d) || die "no temporary folder"
trap 'rm -rf "$work"' EXIT
log=$out/$stage.log
export FFLAB_CACHE_DIR=${FFLAB_CACHE_DIR:-$work/cache} # what is measured of BLAS libraries, once a stage
exec > >(tee "$log") 2>&1

# Graver codes win; 5 (nothing ran) only where nothing else did.
note() { # code
    [ "$1" = 0 ] && return
    if [ "$worst" = 0 ] || { [ "$worst" = 5 ] && [ "$1" != 5 ]; }; then worst=$1; fi
}

step() { # title, command…
    local title=$1 start=$SECONDS code
    shift
    printf '\n==> %s\n' "$title"
    "$@"
    code=$?
    note $code
    printf '==> %s: exit code %d (%d s)\n' "$title" $code $((SECONDS - start))
    return "$code"
}

fflab() { "${program[@]}" "$@"; }

read -ra globs <<<"${GLOB:-*cuda* *cublas*}"
select=()
for glob in "${globs[@]}"; do # a pattern that names nothing is an error to the program
    fflab list -v "$glob" >/dev/null 2>&1 && select+=(-v "$glob")
done
[ ${#select[@]} -gt 0 ] || die "${program[*]}: no variant is called any of ${globs[*]}, or it does not run"

circumstances() {
    date -u +%FT%TZ
    if command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.draw,temperature.gpu --format=csv,noheader
    else
        echo 'nvidia-smi: not available'
    fi
    command -v nvcc >/dev/null && nvcc --version | tail -n 2
    fflab list "${select[@]}"
}

# A part of the check that shows every branch and takes seconds even when every access is watched.
reduced() { # tool
    local tool=$1 report=$work/$1.txt code
    command -v compute-sanitizer >/dev/null || { echo 'compute-sanitizer: not available'; return 0; }
    timeout $((minutes * 15)) compute-sanitizer --tool "$tool" --target-processes all --error-exitcode 2 \
        --log-file "$report" "${sanitized[@]}" check --in-process "${select[@]}" --tree 1x3,3x0 --leaf 2x5,1x40 \
        --moe 5x3:2,3x40:1 --width 100 --width-out 37 --batch 1,35,70 --fixture random
    code=$?
    tail -n 40 "$report"
    return "$code"
}

# compute-sanitizer follows the program itself, not the script that builds it.
sanitized=("${program[@]}")
[ ${#program[@]} = 1 ] || sanitized=("${FFLAB_BUILD:-$here/../build}/harness/fflab")

stage_check() {
    step check fflab check "${select[@]}" --budget $((minutes * 35))s --out "$work/check"
    step memcheck reduced memcheck
    step racecheck reduced racecheck
}

stage_bench() {
    local b=$((minutes * 60))
    # Leaf trees and mixtures of as many neurons stand in the same groups.
    step 'bench: the paper layer, hot' fflab bench "${select[@]}" --preset paper --neurons 4095,3072 \
        --leaf 9x8,5x128 --moe 512x8:1,64x64:1,16x256:2 \
        --batch 1,16,128,1024,16384 --budget $((b * 55 / 100))s --out "$work/bench"
    step 'bench: the paper layer, cold' fflab bench "${select[@]}" --preset paper --neurons 4095 --batch 1,16,128 \
        --cache weights-cold --budget $((b * 20 / 100))s --out "$work/bench" --resume
    step 'bench: other trees' fflab bench "${select[@]}" -x 'fff_leaf_*' -x 'moe_*' \
        --tree 128x4,16x7,1x7,1x13 --batch 1,1024 --budget $((b * 20 / 100))s --out "$work/bench" --resume
}

stage_encoder() {
    # Passes wholly on the device: each class and storage type against its own fastest dense variant.
    step 'encoder: UltraFastBERT 1x11' fflab encoder --preset ultrafastbert-1x11 --neurons 4095,3072 --batch 8,64 --seq 128 \
        "${select[@]}" --budget $((minutes * 35))s --out "$work/encoder"
    step 'encoder: crammedBERT' fflab encoder --preset crammedbert-3072 --batch 8 --seq 128 \
        "${select[@]}" -x 'fff_*' --budget $((minutes * 8))s --out "$work/encoder" --resume
    step 'encoder: BERT, post-norm' fflab encoder --preset bert-base --batch 8 --seq 128 \
        "${select[@]}" -x 'fff_*' -x '*naive*' --budget $((minutes * 7))s --out "$work/encoder" --resume
}

# Microseconds per call, variants down and batches across, from the journals.
table() {
    command -v python3 >/dev/null || { echo 'no python3: see the tables above'; return; }
    fflab report "$out"/*.jsonl --json >"$work/lines.json"
    python3 - "$work/lines.json" <<'PYTHON'
import json, sys
rows, verdicts, batches = {}, {}, set()
for path in sys.argv[1:]:
    for line in open(path):
        r = json.loads(line)
        if r.get('kind') not in ('check', 'bench') or 'variant' not in r:
            continue
        verdicts.setdefault((r['kind'], r.get('verdict', '?')), set()).add(r['variant'])
        if r['kind'] == 'bench' and r.get('verdict') == 'PASSED' and r.get('median_ns') and r.get('shape') in ('1x11', 'dense'):
            key = (r['class'], r.get('cache', ''), r['neurons'], r['variant'])
            rows.setdefault(key, {})[r['batch']] = r['median_ns'] / 1e3
            batches.add(r['batch'])
for (kind, verdict), names in sorted(verdicts.items()):
    shown = '' if verdict == 'PASSED' else ': ' + ' '.join(sorted(names))
    print(f'{kind:6} {verdict:11} {len(names)} variants{shown}')
if rows:
    print('us per call, 1x11 and dense:')
    print(f'{"variant":34} {"class":5} {"cache":12} {"N":>5}' + ''.join(f'{"B=%d" % b:>11}' for b in sorted(batches)))
    for (clazz, cache, n, variant), times in sorted(rows.items(), key=lambda i: (i[0][:3], min(i[1].values()))):
        print(f'{variant:34} {clazz:5} {cache:12} {n:5}' +
              ''.join(f'{times[b]:11.2f}' if b in times else f'{"-":>11}' for b in sorted(batches)))
PYTHON
}

step circumstances circumstances || die "the program does not run; see above"
"stage_$stage"
[ -f "$work/$stage/journal.jsonl" ] && cp "$work/$stage/journal.jsonl" "$out/$stage.jsonl"
[ "$stage" = encoder ] && step report fflab report "$out"/*.jsonl --out "$out/report"
printf '\n'
ls "$out"/*.jsonl >/dev/null 2>&1 && table
printf 'run_on_gpu %s: exit code %d after %d s; %s\n' "$stage" "$worst" "$SECONDS" "$out"
exit "$worst"
