#!/usr/bin/env python3
"""Lines of kernels/ and harness/ that ran, by folder, out of what a build with -Db_coverage=true left behind.

    tests/sanitize/coverage.py BUILD [--least PERCENT] [--files]

Run the suites (and anything else) in that build first. Counts of a line are added up over all that compiled it, since
headers live in many. Exit code 1 when kernels/ or harness/ as a whole is below the percentage; --files also lists the
files below it, and which of their lines never ran. Counted apart is what other steps run: device code (the emulated
device) and planted bugs (fflab selftest).
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
APART = {'device code': ('harness/device/', 'harness/bench/device_', 'kernels/device_none.c'),
         'planted bugs': ('harness/selftest/mutant',)}


def read(objects):
    """Counts by (file, line). gcov takes an object's notes for one that never ran."""
    counts = collections.Counter()
    out = subprocess.run(['gcov', '--json-format', '--stdout', *objects], capture_output=True, check=True).stdout
    for line in out.splitlines():
        report = json.loads(line)
        folder = report['current_working_directory']
        for file in report['files']:
            path = os.path.normpath(os.path.join(folder, file['file']))
            for at in file['lines']:
                counts[path, at['line_number']] += at['count']
    return counts


def collect(build):
    objects = []
    for notes in sorted(build.rglob('*.gcno')):
        data = notes.with_suffix('.gcda')
        objects.append(str(data if data.exists() else notes))
    parts = [objects[i:i + 20] for i in range(0, len(objects), 20)]
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(read, parts):
            for place, count in part.items():
                counts[place] += count
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
    for (path, line), count in collect(options.build).items():
        name = os.path.relpath(path, ROOT)
        if name.startswith(('kernels/', 'harness/')):
            files[name][line] = count
    if not files:
        sys.exit(f'{options.build}: nothing there; build with -Db_coverage=true and run the suites')
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
