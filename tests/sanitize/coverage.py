#!/usr/bin/env python3
"""Lines of kernels/ and harness/ that ran, by folder, as clang's counters in a build say.

    tests/sanitize/coverage.py BUILD [--least PERCENT] [--files]

BUILD was made with -fprofile-instr-generate -fcoverage-mapping; what ran there had LLVM_PROFILE_FILE=BUILD/profiles/%2m.profraw
in its environment. Counts of a line are added up over all programs, since headers live in many. Exit code 1 when kernels/ or
harness/ as a whole is below the percentage; --files also lists the files below it, and which of their lines never ran.
Counted apart is what other steps run: device code (the emulated device) and planted bugs (fflab selftest).
"""
import argparse
import collections
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
APART = {'device code': ('harness/device/', 'harness/bench/device_', 'harness/encoder/device_',
                         'harness/encoder/encoder_device_none.c', 'kernels/device_none.c'),
         'planted bugs': ('harness/selftest/mutant',)}


def tool(name):
    """The one that belongs to clang: formats change between versions."""
    return subprocess.run(['clang', f'-print-prog-name={name}'], capture_output=True, check=True, text=True).stdout.strip()


def programs(build):
    for path in sorted(build.rglob('*')):
        if path.is_file() and not path.is_symlink() and os.access(path, os.X_OK):
            with path.open('rb') as file:
                if file.read(4) == b'\x7fELF':
                    yield path


def collect(build):
    """Counts by (file, line)."""
    profiles = sorted((build / 'profiles').glob('*.profraw'))
    if not profiles:
        sys.exit(f'{build}/profiles: no counts there; see tests/sanitize/coverage.py --help')
    merged = build / 'profiles' / 'all.profdata'
    subprocess.run([tool('llvm-profdata'), 'merge', '-o', merged, *profiles], check=True)
    first, *others = programs(build)
    objects = [word for program in others for word in ('-object', program)]
    lines = subprocess.run([tool('llvm-cov'), 'export', '-format=lcov', '-instr-profile', merged, first, *objects],
                           stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    counts = collections.Counter()
    for line in lines:
        kind, _, rest = line.partition(':')
        if kind == 'SF':
            file = os.path.normpath(os.path.join(build, rest))
        elif kind == 'DA':
            number, count = rest.split(',')[:2]
            counts[file, int(number)] += int(count)
    return counts


def ranges(lines):
    """"3-5, 9" of [3, 4, 5, 9]."""
    text = []
    for line in sorted(lines):
        if text and text[-1][1] == line - 1:
            text[-1][1] = line
        else:
            text.append([line, line])
    return ', '.join(str(a) if a == b else f'{a}-{b}' for a, b in text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', type=pathlib.Path)
    parser.add_argument('--least', type=float, default=90)
    parser.add_argument('--files', action='store_true')
    options = parser.parse_args()
    files = collections.defaultdict(dict)
    for (path, line), count in collect(options.build.resolve()).items():
        name = os.path.relpath(path, ROOT)
        if name.startswith(('kernels/', 'harness/')):
            files[name][line] = count
    if not files:
        sys.exit(f'{options.build}: counts no line of kernels/ or harness/; was it built in this checkout?')
    folders = collections.defaultdict(lambda: [0, 0])
    for name, lines in files.items():
        ran = sum(count > 0 for count in lines.values())
        apart = [what for what, prefixes in APART.items() if name.startswith(prefixes)]
        parents = {str(parent) for parent in pathlib.PurePath(name).parents} - {'.'}
        for folder in apart or parents:
            folders[folder][0] += ran
            folders[folder][1] += len(lines)
        if options.files and not apart and 100 * ran < options.least * len(lines):
            print(f'{name}: {100 * ran / len(lines):.1f} %; never: '
                  f'{ranges(line for line, count in lines.items() if not count)}')
    for folder, (ran, all_lines) in sorted(folders.items()):
        print(f'{folder:24} {100 * ran / all_lines:6.1f} % of {all_lines} lines')
    sys.exit(any(100 * folders[folder][0] < options.least * folders[folder][1] for folder in ('kernels', 'harness')))


main()
