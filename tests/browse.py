#!/usr/bin/env python3
"""Opens a report in headless Chromium and looks at it as a reader would.

    browse.py PAGE.html [--charts N] [--shots DIR]

The page must load without a console message, without any request beyond the page itself, hold its charts and
tables, show exact values under the pointer, and fit 390 and 1440 pixels without scrolling sideways, light and
dark. --shots keeps a picture of each. Exit code 77 where there is no Chromium.

Chromium is driven over its own pipe (--remote-debugging-pipe): no port is opened, nothing but Python is needed.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
WAIT_S = 60
WIDTHS = (390, 1440)


class Browser:
    """A Chromium and its DevTools protocol: JSON messages, each ended by a zero byte."""

    def __init__(self, program, profile):
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()

        def ends():  # the protocol's two files, by their numbers
            os.dup2(to_read, 20)
            os.dup2(to_write, 21)
            os.dup2(20, 3)
            os.dup2(21, 4)

        self.process = subprocess.Popen(
            [program, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
             '--disable-background-networking', '--disable-component-update', '--disable-sync',
             f'--user-data-dir={profile}', '--remote-debugging-pipe', 'about:blank'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=ends,
            close_fds=False)
        os.close(to_read)
        os.close(to_write)
        os.set_blocking(self.back, False)
        self.rest, self.number, self.events, self.session = b'', 0, [], None

    def close(self):
        self.process.kill()
        self.process.wait()

    def messages(self, deadline):
        """The next message; an error when the browser is gone or silent."""
        while b'\0' not in self.rest:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError('the browser does not answer')
            try:
                block = os.read(self.back, 1 << 20)
                self.rest += block
            except BlockingIOError:
                time.sleep(0.01)
        message, self.rest = self.rest.split(b'\0', 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        request = {'id': self.number, 'method': method, 'params': parameters}
        if self.session:
            request['sessionId'] = self.session
        os.write(self.to, json.dumps(request).encode() + b'\0')
        deadline = time.monotonic() + WAIT_S
        while True:
            message = self.messages(deadline)
            if message.get('id') == self.number:
                if 'error' in message:
                    raise RuntimeError(f'{method}: {message["error"]["message"]}')
                return message['result']
            self.events.append(message)

    def wait_for(self, method):
        deadline = time.monotonic() + WAIT_S
        while not any(event.get('method') == method for event in self.events):
            self.events.append(self.messages(deadline))

    def evaluate(self, expression):
        answer = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        if 'exceptionDetails' in answer:
            raise RuntimeError(f'{expression}: {answer["exceptionDetails"]["text"]}')
        return answer['result'].get('value')


def open_page(browser, url):
    target = browser.call('Target.createTarget', url='about:blank')['targetId']
    browser.session = browser.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
    for domain in ('Page', 'Runtime', 'Log', 'Network'):
        browser.call(f'{domain}.enable')
    browser.events.clear()
    browser.call('Page.navigate', url=url)
    browser.wait_for('Page.loadEventFired')


def complaints(browser, url):
    """What the page said on the console, and what it asked for beside itself."""
    for event in browser.events:
        method, about = event.get('method'), event.get('params', {})
        if method == 'Runtime.consoleAPICalled':
            yield f'console: {about["type"]}: {about["args"]}'
        elif method == 'Runtime.exceptionThrown':
            yield f'exception: {about["exceptionDetails"]["text"]}'
        elif method == 'Log.entryAdded':
            yield f'log: {about["entry"]["text"]}'
        elif method == 'Network.requestWillBeSent' and about['request']['url'].split('#')[0] != url:
            yield f'request: {about["request"]["url"][:200]}'


def resize(browser, width, scheme):
    browser.call('Emulation.setDeviceMetricsOverride', width=width, height=900, deviceScaleFactor=1,
                 mobile=width < 600)
    browser.call('Emulation.setEmulatedMedia', media='', features=[{'name': 'prefers-color-scheme', 'value': scheme}])


# What sticks out of the window sideways, other than what scrolls by itself; and charts too small to see.
LAYOUT = '''(() => {
  const out = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    out.push('the page is ' + document.documentElement.scrollWidth + ' pixels wide');
    for (const e of document.body.querySelectorAll('*'))
      if (e.getBoundingClientRect().right > width + 1 && !e.closest('.scroll table') && !e.closest('svg') && out.length < 6)
        out.push('  ' + e.tagName + ' ' + (e.textContent || '').slice(0, 60));
  }
  for (const s of document.querySelectorAll('figure svg')) {
    const box = s.getBoundingClientRect();
    if (box.width < 300 || box.height < 100) out.push('a chart of ' + box.width + ' x ' + box.height);
  }
  return out;
})()'''

# The pointer on the first mark of every chart: the exact values must show.
HOVER = '''(() => {
  const out = [];
  for (const s of document.querySelectorAll('figure svg')) {
    const mark = s.querySelector('[onmousemove]');
    if (!mark) { out.push('a chart without marks: ' + s.parentNode.querySelector('figcaption').textContent); continue; }
    mark.dispatchEvent(new MouseEvent('mousemove', {clientX: 100, clientY: 100, bubbles: true}));
    const tip = document.getElementById('tip');
    if (tip.hidden || !tip.textContent.trim()) out.push('no values under the pointer');
    mark.dispatchEvent(new MouseEvent('mouseout', {bubbles: true}));
    if (!tip.hidden) out.push('the values stay');
  }
  return out;
})()'''


def look(browser, url, charts, shots):
    found = list(complaints(browser, url))
    count = browser.evaluate('document.querySelectorAll("figure svg").length')
    if count < charts:
        found.append(f'{count} charts, expected at least {charts}')
    if not browser.evaluate('document.querySelectorAll("table caption").length === document.querySelectorAll("table").length'):
        found.append('a table without caption')
    if browser.evaluate('[...document.querySelectorAll("nav a")].some(a => !document.querySelector(a.hash))'):
        found.append('the table of contents leads nowhere')
    ids = browser.evaluate('[...document.querySelectorAll("[id]")].map(e => e.id)')
    if len(ids) != len(set(ids)):
        found.append('an id occurs twice')
    found += browser.evaluate(HOVER)
    for width in WIDTHS:
        for scheme in ('light', 'dark'):
            resize(browser, width, scheme)
            found += [f'{width} pixels, {scheme}: {what}' for what in browser.evaluate(LAYOUT)]
            if shots:
                height = min(browser.evaluate('document.documentElement.scrollHeight'), 16000)
                data = browser.call('Page.captureScreenshot', captureBeyondViewport=True, clip={
                    'x': 0, 'y': 0, 'width': width, 'height': height, 'scale': 1})['data']
                (shots / f'{width}-{scheme}.png').write_bytes(base64.b64decode(data))
    return found + [what for what in complaints(browser, url) if what not in found]


def main():
    options = argparse.ArgumentParser(description='opens a report in headless Chromium and looks at it')
    options.add_argument('page', type=pathlib.Path)
    options.add_argument('--charts', type=int, default=0, help='there must be at least so many')
    options.add_argument('--shots', type=pathlib.Path, help='folder for pictures')
    given = options.parse_args()
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if not program:
        print('skipped: no Chromium (Debian: chromium)')
        return 77
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    url = given.page.resolve(strict=True).as_uri()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            open_page(browser, url)
            found = look(browser, url, given.charts, given.shots)
        finally:
            browser.close()
    for what in found:
        print(f'{given.page}: {what}')
    if not found:
        print(f'{given.page}: good at {" and ".join(map(str, WIDTHS))} pixels, light and dark')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
