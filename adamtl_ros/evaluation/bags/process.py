# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Worker process with shared-memory messages, and helpers for threads beside the network.

A worker process reads and scores images while the network runs in this one. Why neither
`multiprocessing` nor joblib: each frame is megabytes of images and results in both directions.
`multiprocessing` sends them through a socket, where two processes that send at once wait for each
other; `shared_memory` and joblib keep them in /dev/shm, which holds 64 MB in a container, and a
process that writes beyond that dies of SIGBUS. A `SharedMemoryPipe` uses anonymous memory
(`memfd`) that only its two processes see and that vanishes with them. The rest is what one long
call needs and pools lack: both sides send while the function runs, and each notices at once that
the other has died.
"""

from __future__ import annotations

import atexit
import mmap
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from adamtl_ros.runtime.threads import keep_freed_memory, set_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

BUFFERS = 3
"""Messages in flight in one direction before the sender has to wait."""
DESCRIPTORS = 2 + 2 * BUFFERS
"""File descriptors of one end of a pipe."""


class SharedMemoryPipe:
    """One end of a two-way connection between processes; not thread-safe.

    The pickled object and the buffers of its arrays (protocol 5, PEP 574) go through shared
    memory; only their sizes go through a socket. Received arrays are private copies. Both ends
    may send up to `BUFFERS` messages of any size before either receives one, without deadlock.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        """Open an end.

        Args:
            descriptors: File descriptors of the end, see `descriptors`.

        """
        if len(descriptors) != DESCRIPTORS:
            raise ValueError(
                f'an end of a pipe has {DESCRIPTORS} file descriptors, got {len(descriptors)}'
            )
        self._descriptors = tuple(descriptors)
        self._sizes, self._acks = Connection(descriptors[0]), Connection(descriptors[1])
        buffers = [_Buffer(descriptor) for descriptor in descriptors[2:]]
        self._sending, self._receiving = buffers[:BUFFERS], buffers[BUFFERS:]
        self._sent = self._received = 0

    @property
    def descriptors(self) -> tuple[int, ...]:
        """File descriptors, for the process that is to own this end."""
        return self._descriptors

    def send(self, message: object) -> None:
        """Send an object; block while `BUFFERS` of them are unread.

        Raises:
            OSError: The other end is closed.

        """
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, 5, buffer_callback=buffers.append)
        if self._sent >= BUFFERS:
            self._await_ack()
        parts: list[bytes | memoryview] = [head, *(buffer.raw() for buffer in buffers)]
        sizes = self._sending[self._sent % BUFFERS].write(parts)
        self._sent += 1
        self._sizes.send(sizes)

    def recv(self) -> Any:
        """Wait for an object and return it.

        Raises:
            EOFError: The other end is closed.

        """
        try:
            sizes = self._sizes.recv()
        except ConnectionError as error:
            raise EOFError(str(error)) from error
        head, *buffers = self._receiving[self._received % BUFFERS].read(sizes)
        self._received += 1
        # A message that has arrived is valid even if its sender has closed meanwhile.
        with suppress(ConnectionError):
            self._acks.send_bytes(b'.')
        return pickle.loads(head.data, buffers=buffers)  # noqa: S301  from our own process

    def close(self) -> None:
        """Close this end; the other one gets `EOFError` or `OSError`."""
        self._sizes.close()
        self._acks.close()
        for buffer in (*self._sending, *self._receiving):
            buffer.close()

    def _await_ack(self) -> None:
        try:
            self._acks.recv_bytes()
        except EOFError as error:
            raise BrokenPipeError('the other end of the pipe is gone') from error

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return both ends of a new pipe."""
        sizes, acks = Pipe(), Pipe()
        memory = [_anonymous_memory() for _ in range(2 * BUFFERS)]
        # Each end closes its descriptors, so the second one gets duplicates.
        swapped = [os.dup(file) for file in (*memory[BUFFERS:], *memory[:BUFFERS])]
        ends = [_detach(sizes[side], acks[side]) for side in (0, 1)]
        return cls([*ends[0], *memory]), cls([*ends[1], *swapped])


class _Buffer:
    """Shared memory for the parts of one message; grows as needed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._view: np.ndarray[Any, np.dtype[np.uint8]] = np.empty(0, np.uint8)

    def write(self, parts: Sequence[bytes | memoryview]) -> list[int]:
        """Write parts back to back and return their sizes in bytes."""
        raws = [np.frombuffer(part, np.uint8) for part in parts]
        sizes = [raw.nbytes for raw in raws]
        if sum(sizes) > len(self._view):
            os.ftruncate(self._descriptor, sum(sizes))
            self._map(sum(sizes))
        start = 0
        for raw, size in zip(raws, sizes, strict=True):
            # Numpy releases the GIL while it copies.
            self._view[start : start + size] = raw
            start += size
        return sizes

    def read(self, sizes: Sequence[int]) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
        """Return copies of the parts that the other end has written."""
        if sum(sizes) > len(self._view):
            self._map(os.fstat(self._descriptor).st_size)
        ends = np.cumsum(sizes, dtype=np.int64).tolist()
        return [self._view[end - size : end].copy() for end, size in zip(ends, sizes, strict=True)]

    def close(self) -> None:
        """Release the memory; it is freed once the other end closes too."""
        self._view = np.empty(0, np.uint8)
        os.close(self._descriptor)

    def _map(self, size: int) -> None:
        self._view = np.frombuffer(mmap.mmap(self._descriptor, size), np.uint8)


def _anonymous_memory() -> int:
    """Return the descriptor of a file in memory that has no name."""
    return os.memfd_create('pipe')


def _detach(*connections: Connection) -> list[int]:
    """Return duplicates of the descriptors of connections and close the connections."""
    descriptors = [os.dup(connection.fileno()) for connection in connections]
    for connection in connections:
        connection.close()
    return descriptors


SHUTDOWN_TIMEOUT_S = 30.0
"""Time that a worker process has to clean up before it is killed."""
CALL, MESSAGE, RESULT, ERROR = 'call', 'message', 'result', 'error'
"""Kinds of messages between caller and worker process."""


class WorkerProcessError(RuntimeError):
    """The worker process died (killed, out of memory); also carries a traceback of the worker."""


class RemoteCall:
    """A running call of a function in a worker process; iterate over it to receive messages.

    Attributes:
        result: Return value of the function; None until the iteration has ended.
        returned: Whether the function has returned.

    """

    def __init__(self, process: _WorkerProcess) -> None:
        self._process = process
        self.result: Any = None
        self.returned = False

    def send(self, message: object) -> None:
        """Send an object to the function; block while `BUFFERS` of them are unread.

        Raises:
            WorkerProcessError: The worker process has died.

        """
        self._process.send((MESSAGE, message))

    def __iter__(self) -> Iterator[Any]:
        """Yield the messages of the function until it returns.

        Raises:
            Exception: The exception that the function raised.
            WorkerProcessError: The worker process has died.

        """
        while True:
            kind, *content = self._process.recv()
            if kind == ERROR:
                raise content[0] from WorkerProcessError(content[1])
            if kind == RESULT:
                (self.result,), self.returned = content, True
                return
            yield content[0]


class CallerConnection:
    """Connection of the called function to its caller."""

    def __init__(self, pipe: SharedMemoryPipe) -> None:
        self._pipe = pipe

    def send(self, message: object) -> None:
        """Send an object to the caller; block while `BUFFERS` of them are unread."""
        self._pipe.send((MESSAGE, message))

    def recv(self) -> Any:
        """Return the next message of the caller.

        Raises:
            EOFError: The caller has left the call; clean up and let the exception pass.

        """
        _, message = self._pipe.recv()
        return message


def start_worker() -> None:
    """Start a worker process for the next call unless one is idle; starting takes seconds."""
    _idle.append(_idle_worker())


@contextmanager
def remote_call(function: Callable[..., Any], *arguments: object) -> Iterator[RemoteCall]:
    """Call a function in a worker process and exchange messages with it until it returns.

    The worker is a new interpreter that imports what the function needs; it is reused for later
    calls. If the `with` block ends before the function has returned, the function's `recv()`
    raises `EOFError` and the worker is ended.

    Args:
        function: Module-level function; its first argument is a `CallerConnection`.
        arguments: Its other arguments; must be picklable.

    Raises:
        WorkerProcessError: The worker process has died.

    """
    process = _idle_worker()
    call = RemoteCall(process)
    try:
        process.send((CALL, function, arguments))
        yield call
    except BaseException:
        process.end()
        raise
    if call.returned:
        _idle.append(process)
    else:
        process.end()


class _WorkerProcess:
    def __init__(self) -> None:
        self.pipe, theirs = SharedMemoryPipe.pair()
        # The default path would begin with the working folder, whatever modules it holds.
        path = f'import sys; sys.path[:] = {sys.path!r}'
        serve = f'import {__name__} as here; here.serve({list(theirs.descriptors)!r})'
        self._process = subprocess.Popen(
            [sys.executable, '-c', f'{path}; {serve}'], pass_fds=theirs.descriptors
        )
        theirs.close()

    def send(self, message: object) -> None:
        try:
            self.pipe.send(message)
        except OSError as error:
            raise self._died() from error

    def recv(self) -> Any:
        try:
            return self.pipe.recv()
        except EOFError as error:
            raise self._died() from error

    def _died(self) -> WorkerProcessError:
        code = self._wait()
        return WorkerProcessError(f'the worker process has died with exit code {code}')

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self.pipe.close()
        self._wait()

    def _wait(self) -> int:
        try:
            return self._process.wait(SHUTDOWN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


_idle: list[_WorkerProcess] = []


def _idle_worker() -> _WorkerProcess:
    """Take an idle worker process, or start one."""
    # Another thread may take the last one at any moment, so do not check first.
    with suppress(IndexError):
        while True:
            process = _idle.pop()
            if process.is_alive():
                return process
            process.end()
    return _WorkerProcess()


@atexit.register
def _end_idle_workers() -> None:
    while _idle:
        _idle.pop().end()


def serve(descriptors: list[int]) -> None:
    """Serve calls until the caller is gone: the main loop of a worker process.

    Args:
        descriptors: File descriptors of the worker's end of the pipe.

    """
    # Ctrl-C reaches both processes; the caller decides and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(1)
    keep_freed_memory()
    pipe = SharedMemoryPipe(descriptors)
    try:
        while True:
            kind, *content = pipe.recv()
            # Messages may be left over that were meant for a function that has ended.
            if kind == CALL:
                pipe.send(_call(CallerConnection(pipe), *content))
    except (EOFError, ConnectionError):
        return


def _call(
    connection: CallerConnection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, ...]:
    try:
        return RESULT, function(connection, *arguments)
    except Exception as error:  # noqa: BLE001  raised again in the caller
        return ERROR, _picklable(error), traceback.format_exc()


def _picklable(error: Exception) -> Exception:
    """Return the exception, or one with the same text if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # noqa: BLE001  pickling runs the exception's own code
        return RuntimeError(f'{type(error).__name__}: {error}')
    return error


Item = TypeVar('Item')


def prefetch(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield items in order while a thread computes the next ones.

    Args:
        items: Iterable that only this thread advances.
        depth: Number of items computed in advance.

    """
    end: Any = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, iterator, end))
            yield item


class BackgroundWriter:
    """Calls a function in a background thread, in order, with a bounded queue.

    Leaving the `with` block waits for the last call. An exception of a call is raised by a later
    `put()`, or at the end of the block.
    """

    def __init__(self, function: Callable[..., object], depth: int = 2) -> None:
        """Start without calls.

        Args:
            function: Function that only this thread calls.
            depth: Calls that may be pending.

        """
        self._function, self._depth = function, depth
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[object]] = deque()

    def put(self, *arguments: object) -> None:
        """Queue a call with these arguments; block while `depth` calls are pending."""
        while len(self._pending) >= self._depth:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._function, *arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._pending:
                future.result()
