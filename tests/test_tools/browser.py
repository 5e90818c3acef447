"""A real browser for tests: Qt's Chromium, without a window."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import websocket

KEYS = {
    'ArrowLeft': 37,
    'ArrowRight': 39,
    'Home': 36,
    'End': 35,
    'Tab': 9,
    'Enter': 13,
    ' ': 32,
}
TEXTS = {'Enter': '\r', ' ': ' '}


class Browser:
    """One page of a Chromium of its own; use it in a ``with``.

    Args:
        width: Of the page, in CSS pixels. Defaults to 1200.
        height: Likewise. Defaults to 800.
    """

    def __init__(self, width: int = 1200, height: int = 800) -> None:
        self.size = (width, height)
        self.events: list[dict[str, Any]] = []
        self.count = 0

    def __enter__(self) -> Browser:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.home = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env={
                **os.environ,
                'HOME': self.home.name,
                'QT_QPA_PLATFORM': 'offscreen',
                'QTWEBENGINE_DISABLE_SANDBOX': '1',  # which root can't have
                'QTWEBENGINE_REMOTE_DEBUGGING': str(port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            self.socket = websocket.create_connection(
                self._address(port), timeout=60, suppress_origin=True
            )
        except BaseException:
            self.__exit__()
            raise
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')
        self.resize(*self.size)
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, 'socket'):
            self.socket.close()
        self.process.kill()
        self.process.wait()
        self.home.cleanup()

    def _address(self, port: int) -> str:
        """Wait for the page's own address."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f'no browser: {self.process.stdout.read()}')
            try:
                with opener.open(f'http://127.0.0.1:{port}/json', timeout=5) as answer:
                    pages = json.load(answer)
            except OSError:
                pages = []
            if pages:
                return pages[0]['webSocketDebuggerUrl']
            time.sleep(0.1)
        raise RuntimeError('the browser did not answer within a minute')

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; what else arrives is kept as events."""
        self.count += 1
        message = {'id': self.count, 'method': method, 'params': params}
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get('id') == self.count:
                break
            self.events.append(answer)
        if 'error' in answer:
            raise RuntimeError(f'{method}: {answer["error"]["message"]}')
        return answer['result']

    def open(self, file: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.events.clear()
        # of the same page with an anchor it would only be a jump
        self.call('Page.navigate', url='about:blank')
        self.call('Page.navigate', url=file.resolve().as_uri())
        self.wait()

    def wait(self) -> None:
        """Wait until the page is loaded."""
        while self.js('document.readyState') != 'complete':
            time.sleep(0.02)

    def js(self, expression: str) -> Any:
        """Evaluate an expression; promises are awaited."""
        answer = self.call(
            'Runtime.evaluate',
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        if 'exceptionDetails' in answer:
            details = answer['exceptionDetails']
            raise RuntimeError(details.get('exception', details).get('description'))
        return answer['result'].get('value')

    def seen(self, *methods: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of these kinds since the last open."""
        self.js('0')  # what was sent before it has arrived after it
        return [e['params'] for e in self.events if e.get('method') in methods]

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Show the page as on a screen of this size."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def prefer(self, scheme: str) -> None:
        """Let the system prefer ``'light'`` or ``'dark'``."""
        feature = {'name': 'prefers-color-scheme', 'value': scheme}
        self.call('Emulation.setEmulatedMedia', features=[feature])

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse."""
        x, y = self.js(
            f'(e => {{ e.scrollIntoView({{block: "center"}});'
            ' const r = e.getBoundingClientRect();'
            ' return [r.x + r.width / 2, r.y + r.height / 2] })'
            f'(document.querySelector({json.dumps(selector)}))'
        )
        for kind in ('mousePressed', 'mouseReleased'):
            self.call(
                'Input.dispatchMouseEvent',
                type=kind,
                x=x,
                y=y,
                button='left',
                clickCount=1,
            )

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        common = {'key': key, 'code': key, 'windowsVirtualKeyCode': KEYS[key]}
        text = {'text': TEXTS[key]} if key in TEXTS else {}
        self.call('Input.dispatchKeyEvent', type='keyDown', **common, **text)
        self.call('Input.dispatchKeyEvent', type='keyUp', **common)

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        answer = self.call('Page.captureScreenshot', format='png')
        path.write_bytes(base64.b64decode(answer['data']))


def show() -> None:
    """Show an empty page until the process is killed."""
    from PySide6.QtCore import QUrl
    from PySide6.QtWebEngineWidgets import QWebEngineView
    from PySide6.QtWidgets import QApplication

    application = QApplication(sys.argv)
    view = QWebEngineView()
    view.resize(1200, 800)
    view.setUrl(QUrl('about:blank'))
    view.show()
    application.exec()


if __name__ == '__main__':
    show()
