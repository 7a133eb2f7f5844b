# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium over its debugging pipe, which needs no further package."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), '')
FLAGS = (
    *('--headless=new', '--no-sandbox', '--remote-debugging-pipe', '--disable-extensions'),
    *('--no-first-run', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'),
)
TIMEOUT_S = 60.0


class Browser:
    """A page in a browser of its own.

    Attributes:
        errors: Messages of uncaught exceptions and of failed requests.

    """

    def __init__(self, url, folder, size=(1400, 1000), mobile=False):
        self.errors = []
        self._numbers = itertools.count(1)
        read_here, write_there = os.pipe()
        read_there, write_here = os.pipe()
        # The browser reads its commands from descriptor 3 and answers on 4.
        command = [CHROMIUM, *FLAGS, f'--user-data-dir={folder}', 'about:blank']
        shell = f'exec "$@" 3<&{read_there} 4>&{write_there}'
        self._process = subprocess.Popen(
            ['bash', '-c', shell, 'bash', *command],
            pass_fds=(read_there, write_there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        self._in, self._out = os.fdopen(write_here, 'wb'), os.fdopen(read_here, 'rb')
        self._session = None
        targets = self.call('Target.getTargets')['targetInfos']
        page = next(target for target in targets if target['type'] == 'page')
        attached = self.call('Target.attachToTarget', targetId=page['targetId'], flatten=True)
        self._session = attached['sessionId']
        for domain in ('Runtime', 'Page', 'Log'):
            self.call(f'{domain}.enable')
        metrics = {'width': size[0], 'height': size[1], 'deviceScaleFactor': 1, 'mobile': mobile}
        self.call('Emulation.setDeviceMetricsOverride', **metrics)
        self.call('Page.navigate', url=url)

    def call(self, method, **parameters):
        """Call a method of the DevTools protocol and return its result."""
        number = next(self._numbers)
        message = {'id': number, 'method': method, 'params': parameters}
        if self._session:
            message['sessionId'] = self._session
        self._in.write(json.dumps(message).encode() + b'\0')
        self._in.flush()
        while True:
            answer = self._read()
            if answer.get('id') == number:
                assert 'error' not in answer, answer
                return answer['result']

    def evaluate(self, code):
        """Return the value of a JavaScript expression, also of a promise."""
        result = self.call(
            'Runtime.evaluate', expression=code, returnByValue=True, awaitPromise=True
        )
        assert 'exceptionDetails' not in result, result
        return result['result'].get('value')

    def until(self, code):
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.evaluate(code):
            assert time.monotonic() < deadline, f'{code} is never true'
            # Time for the page, of the browser's own clock.
            self.evaluate('new Promise((resolve) => setTimeout(resolve, 50))')

    def screenshot(self, path):
        """Write what the page shows as PNG."""
        data = self.call('Page.captureScreenshot', format='png')['data']
        path.write_bytes(base64.b64decode(data))

    def close(self):
        """End the browser."""
        self._in.close()
        self._process.terminate()
        self._process.wait(TIMEOUT_S)
        self._out.close()

    def _read(self):
        data = bytearray()
        while (byte := self._out.read(1)) != b'\0':
            assert byte, 'the browser ended'
            data += byte
        message = json.loads(data)
        if message.get('method') == 'Runtime.exceptionThrown':
            details = message['params']['exceptionDetails']
            self.errors.append(details.get('exception', details).get('description', str(details)))
        if message.get('method') == 'Log.entryAdded':
            entry = message['params']['entry']
            if entry['level'] == 'error':
                self.errors.append(f'{entry["text"]} {entry.get("url", "")}')
        return message
