#!/bin/sh
# Every header compiles alone, first and twice; those under kernels/ (the installed ones) in C++ too, except
# the SIMD ones, which only variant files include. TAP. Usage: headers.sh ROOT BUILD CC… [-- CXX…]
root=$1 build=$2
shift 2
cc='' cxx='' into=cc
for word do
    if [ "$word" = -- ]; then into=cxx
    elif [ "$into" = cc ]; then cc="$cc $word"
    else cxx="$cxx $word"; fi
done
number=0

check() { # header compiler…: compiles it
    header=$1
    shift
    number=$((number + 1))
    if printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
        "$@" -I"$root" -I"$build" -Wall -Wextra -Werror -fsyntax-only - >&2; then
        echo "ok $number - $header"
    else
        echo "not ok $number - $header ($*)"
    fi
}

isa() { # header: the flags its instructions need
    case $1 in
    *avx512*) echo -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma ;;
    *avx2*) echo -mavx2 -mfma ;;
    esac
}

cd "$root" || exit 1
for header in $(find kernels harness reports cuda tests -name '*.h' 2>/dev/null | sort); do
    case $header in
    cuda/emulate/*) # C++ that stands in for CUDA
        # shellcheck disable=SC2086
        [ -z "$cxx" ] || check "$header" $cxx -x c++ -std=c++20 -Icuda/emulate -Wno-unused-function
        continue
        ;;
    esac
    flags=$(isa "$header")
    # shellcheck disable=SC2086 # lists of words
    if [ -z "$flags" ] || $cc $flags -x c -fsyntax-only /dev/null 2>/dev/null; then
        check "$header" $cc $flags -x c -std=gnu17
    fi
    case $header in
    kernels/simd/*) ;;
    kernels/*)
        # shellcheck disable=SC2086
        [ -z "$cxx" ] || check "$header" $cxx -x c++ -std=c++17
        ;;
    esac
done
echo "1..$number"
[ "$number" -gt 0 ]
