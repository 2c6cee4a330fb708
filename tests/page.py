#!/usr/bin/env python3
"""A report as a reader gets it, out of journals as they really are: merged, torn, with failed rows, rows of a newer
version and of a kind that nobody knows. The page must be valid HTML (html_checks.py, and tidy), and pass browse.py.

    page.py FFLAB JOURNALS…

"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import html_checks

TROUBLE = (
    '{"kind":"bench","key":"page 1","variant":"fff_wrong","operation":"fff","verdict":"FAILED","reason":"row 3: <b>4</b>"}\n'
    '{"kind":"bench","key":"page 2","variant":"fff_gone","operation":"fff","verdict":"CRASHED","reason":"signal 11"}\n'
    '{"schema":9,"kind":"bench","key":"page 3"}\n'
    '{"kind":"weather","key":"page 4"}\n'
    '{"kind":"bench","key":"page 5","variant":"ff_\\"><script>alert(1)</script>","verdict":"PASSED","new_field":{}}\n'
    '{"kind":"bench","key":"to')
CHARTS = 8  # of the published journals: batch, trees, routing, encoder
SKIPPED = 77


def validate(page):
    """Tidy's complaints; warnings count."""
    done = subprocess.run(['tidy', '-e', '-q', '--show-info', 'no', str(page)], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else done.stderr.splitlines()[:10]


def main():
    fflab, journals = sys.argv[1], sys.argv[2:]
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        trouble = pathlib.Path(folder, 'trouble.jsonl')
        trouble.write_text(TROUBLE, encoding='utf-8')
        subprocess.run([fflab, 'report', *journals, str(trouble), '--out', folder], stdout=subprocess.DEVNULL, check=True)
        page = pathlib.Path(folder, 'report.html')
        text = page.read_text(encoding='utf-8')
        found = [f'missing: {what}' for what in ('3 journal lines could not be used', 'schema 9', 'fff_gone', 'torn off',
                                                 'unknown kind',
                                                 '<td>UltraFastBERT-1x11-long</td><td class="n">83.0</td>') if what not in text]
        found += html_checks.selftest() + html_checks.complaints(text)[:20]
        if shutil.which('tidy'):
            found += validate(page)
        else:
            print('no tidy: it validated no HTML')
        charts = CHARTS if shutil.which('gnuplot') else 0
        code = subprocess.run([sys.executable, here / 'browse.py', page, '--charts', str(charts)], check=False).returncode
    for what in found:
        print(what)
    return 1 if found or code not in {0, SKIPPED} else 0


if __name__ == '__main__':
    sys.exit(main())
