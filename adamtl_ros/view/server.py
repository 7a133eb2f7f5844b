# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Web server of the viewer: one page, and the newest scene for each browser that asks for one.

A browser asks for the scene after the one it has, and the answer waits until there is one. So a
slow browser leaves scenes out instead of falling behind, pictures are encoded only while somebody
looks, and nothing but HTTP is needed. The page loads nothing from elsewhere.
"""

from __future__ import annotations

import errno
import json
import math
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from adamtl_ros.tasks import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from adamtl_ros.view.scene import Scene, SceneEncoder

PORT = 8765
PAGE = Path(__file__).with_name('page.html')
WAIT_S = 10.0
"""Longest wait of a browser for a scene, after which it asks again [s]."""
WATCHED_S = 3.0
"""Time after the last request during which somebody counts as looking [s]."""
LARGEST_BODY = 10_000
LEAST_BUDGET = 0.01
LOOPBACK = ('127.0.0.1', 'localhost', '::1')
POLICY = "default-src 'self' 'unsafe-inline'; img-src blob: data:; connect-src 'self'"
"""Content security policy: the page loads nothing from elsewhere."""


class Settings(Protocol):
    """What a browser can change."""

    def values(self) -> dict[str, Any]:
        """Return the settings by name; without those that cannot be changed."""

    def change(self, values: Mapping[str, Any]) -> None:
        """Change some settings.

        Raises:
            ValueError: Unknown or invalid setting; has the reason.

        """


class Hub:
    """Newest scene, and who waits for the next; thread-safe.

    Attributes:
        settings: What browsers can change.
        title: What is shown, for people.
        message: What is the matter, for people; empty if nothing is.

    """

    def __init__(self, encoder: SceneEncoder, settings: Settings, title: str) -> None:
        """Start without a scene."""
        self.settings, self.title, self.message = settings, title, ''
        self._encoder = encoder
        self._condition = threading.Condition()
        self._encoding = threading.Lock()
        self._scene: Scene | None = None
        self._number = self._encoded_number = 0
        self._encoded = b''
        self._asked_s = -math.inf
        self._closed = False

    def show(self, scene: Scene) -> None:
        """Replace the newest scene."""
        with self._condition:
            self._scene = scene
            self._number += 1
            self._condition.notify_all()

    def close(self) -> None:
        """Wake all who wait."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    @property
    def watched(self) -> bool:
        """Whether a browser has asked within the last seconds."""
        return time.monotonic() - self._asked_s < WATCHED_S

    def wait_after(self, number: int, timeout_s: float = WAIT_S) -> bytes | None:
        """Return the newest scene in the form of the page; None if there is no newer one.

        Args:
            number: Number of the scene that the browser has; 0 for none.
            timeout_s: Longest time to wait [s].

        """
        self._asked_s = time.monotonic()
        with self._condition:
            # A browser may have the numbers of a server that ran before.
            newer = self._condition.wait_for(
                lambda: self._closed or (self._number and self._number != number), timeout_s
            )
            scene, current = self._scene, self._number
            self._asked_s = time.monotonic()
        return self._encode(scene, current) if newer and scene is not None else None

    def _encode(self, scene: Scene, number: int) -> bytes:
        """Return a scene encoded, once for all browsers."""
        with self._encoding:
            if self._encoded_number != number:
                further = {'number': number, **self.status()}
                self._encoded = self._encoder.encode(scene, further)
                self._encoded_number = number
            return self._encoded

    def status(self) -> dict[str, Any]:
        """Return what is known without a scene."""
        settings = self.settings.values()
        return {'title': self.title, 'message': self.message, 'settings': settings}


class ViewServer(ThreadingHTTPServer):
    """HTTP server of a hub, with a thread of its own.

    Attributes:
        hub: Hub whose scenes are served.
        local_only: Whether only browsers of this machine reach it.

    """

    daemon_threads = True

    def __init__(self, hub: Hub, host: str = LOOPBACK[0], port: int = PORT) -> None:
        """Bind the address; `start()` serves.

        Args:
            hub: Hub whose scenes are served.
            host: Address to listen on; 0.0.0.0 for all networks of this machine.
            port: TCP port; 0 for any that is free.

        Raises:
            ValueError: The address cannot be used.

        """
        self.hub, self.local_only = hub, host in LOOPBACK
        try:
            super().__init__((host, port), _Handler)
        except OverflowError as error:
            raise ValueError(f'port must be 0 to 65535, got {port}') from error
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            advice = '; another program uses it, choose one with --port' if used else ''
            raise ValueError(f'cannot serve on {host}:{port}: {error.strerror}{advice}') from error
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """Address for a browser of this machine."""
        return f'http://localhost:{self.server_address[1]}'

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self.hub.close()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that went away; report everything else as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Requests of a browser: `/`, `/scene?after=3`, and settings by POST."""

    server: ViewServer
    protocol_version = 'HTTP/1.1'

    def do_GET(self) -> None:
        """Send the page or a scene."""
        parts = urlsplit(self.path)
        if not self._is_allowed():
            return
        if parts.path == '/':
            self._send(PAGE.read_bytes(), 'text/html; charset=utf-8')
        elif parts.path == '/status':
            self._send_json(self.server.hub.status())
        elif parts.path == '/scene':
            after = parse_qs(parts.query).get('after', ['0'])[0]
            scene = self.server.hub.wait_after(int(after) if after.isdecimal() else 0)
            if scene is None:
                self._send_json(self.server.hub.status(), HTTPStatus.ACCEPTED)
            else:
                self._send(scene, 'application/octet-stream')
        else:
            self._send_json({'problem': 'no such page'}, HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Change settings."""
        if not self._is_allowed():
            return
        try:
            self.server.hub.settings.change(self._body())
        except ValueError as error:
            self._send_json({'problem': str(error)}, HTTPStatus.BAD_REQUEST)
        else:
            self._send_json(self.server.hub.status())

    def _is_allowed(self) -> bool:
        """Refuse pages of other sites, which reach this machine by a name of their own."""
        host = self.headers.get('Host', '').rpartition(':')[0].strip('[]') or self.headers['Host']
        if self.server.local_only and host not in LOOPBACK:
            self._send_json({'problem': f'not for {host}'}, HTTPStatus.FORBIDDEN)
            return False
        return True

    def _body(self) -> dict[str, Any]:
        # Other sites cannot send this type without asking, and nobody answers them.
        if self.headers.get_content_type() != 'application/json':
            raise ValueError('settings are sent as application/json')
        size = self.headers.get('Content-Length', '')
        if not size.isdecimal() or int(size) > LARGEST_BODY:
            raise ValueError(f'settings have at most {LARGEST_BODY} bytes')
        values = json.loads(self.rfile.read(int(size)))
        if not isinstance(values, dict):
            raise ValueError(f'settings are an object, got {values!r}')  # noqa: TRY004
        return values

    def _send_json(self, values: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(values).encode(), 'application/json', status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Cache-Control', 'no-store')
        self.send_header('Content-Security-Policy', POLICY)
        self.send_header('X-Content-Type-Options', 'nosniff')
        if status >= HTTPStatus.BAD_REQUEST:  # what came with it may not have been read
            self.send_header('Connection', 'close')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet about requests."""


class LocalSettings:
    """Budget and tasks of an engine in this process; thread-safe.

    Attributes:
        budget: Budget in (0, 1].
        tasks: Tasks to compute.
        paused: Whether no further image is taken.
        changed: Event that is set by every change.

    """

    def __init__(self, available: Iterable[str], budget: float, tasks: Iterable[str]) -> None:
        """Set the first values.

        Raises:
            ValueError: Budget outside its range, or unknown task.

        """
        self._available = tuple(available)
        self.changed = threading.Event()
        self.budget = checked_budget(budget)
        self.tasks = select(tasks, self._available)
        self.paused = False

    def values(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {
            'budget': self.budget,
            'tasks': list(self.tasks),
            'available': list(self._available),
            'paused': self.paused,
        }

    def change(self, values: Mapping[str, Any]) -> None:
        """Change some settings; all of them or none.

        Raises:
            ValueError: Unknown setting, budget outside its range, or unknown task.

        """
        checks: dict[str, Callable[[Any], Any]] = {
            'budget': checked_budget,
            'tasks': lambda names: checked_tasks(names, self._available),
            'paused': bool,
        }
        if unknown := set(values) - set(checks):
            raise ValueError(f"no setting '{min(unknown)}', choose from: {', '.join(checks)}")
        checked = {name: checks[name](value) for name, value in values.items()}
        for name, value in checked.items():
            setattr(self, name, value)
        self.changed.set()


def checked_tasks(names: Any, available: tuple[str, ...]) -> tuple[str, ...]:
    """Return task names in table order.

    Raises:
        ValueError: Not a list of known tasks.

    """
    if not isinstance(names, list) or not names:
        raise ValueError(f'tasks are a list of at least one of: {", ".join(available)}')
    return select(map(str, names), available)


def checked_budget(value: Any) -> float:
    """Return a budget as a float.

    Raises:
        ValueError: Not a number in its range.

    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not LEAST_BUDGET <= value <= 1
    ):
        raise ValueError(f'budget must be a number from {LEAST_BUDGET} to 1, got {value!r}')
    return float(value)
