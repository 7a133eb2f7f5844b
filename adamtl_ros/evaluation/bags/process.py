# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Work that goes on beside the network: what comes before it, and what comes after it."""

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

SLOTS = 3
"""Messages that may be under way in one direction before the sender has to wait."""
FILES = 2 + 2 * SLOTS
"""File descriptors of one end."""


class SharedMemoryPipe:
    """One end of a connection between two processes; not for several threads at once.

    Arrays travel beside the pickled rest (protocol 5, PEP 574), both through shared memory, and
    arrive as copies of their own. A pipe takes so little at once that two who send would wait for
    each other.
    """

    def __init__(self, files: Sequence[int]) -> None:
        """Take the file descriptors of an end."""
        if len(files) != FILES:
            raise ValueError(f'an end of a channel has {FILES} files, got {len(files)}')
        self._files = tuple(files)
        self._messages, self._read = Connection(files[0]), Connection(files[1])
        slots = [_Buffer(file) for file in files[2:]]
        self._sending, self._receiving = slots[:SLOTS], slots[SLOTS:]
        self._sent = self._received = 0

    @property
    def files(self) -> tuple[int, ...]:
        """File descriptors, to be passed on to the process that is to have this end."""
        return self._files

    def send(self, message: object) -> None:
        """Send an object; waits while `SLOTS` of them have not been received.

        Raises:
            OSError: The other end is gone.

        """
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, 5, buffer_callback=buffers.append)
        if self._sent >= SLOTS:
            self._wait_until_read()
        parts: list[bytes | memoryview] = [head, *(buffer.raw() for buffer in buffers)]
        sizes = self._sending[self._sent % SLOTS].write(parts)
        self._sent += 1
        self._messages.send(sizes)

    def receive(self) -> Any:  # noqa: ANN401
        """Wait for an object and return it.

        Raises:
            EOFError: The other end is gone.

        """
        try:
            sizes = self._messages.recv()
        except ConnectionError as error:
            raise EOFError(str(error)) from error
        head, *buffers = self._receiving[self._received % SLOTS].read(sizes)
        self._received += 1
        # What has arrived is good, even if nobody is left to be told so.
        with suppress(ConnectionError):
            self._read.send_bytes(b'.')
        return pickle.loads(head.data, buffers=buffers)  # noqa: S301  from our own process

    def close(self) -> None:
        """Let the other end know that this one is gone."""
        self._messages.close()
        self._read.close()
        for slot in (*self._sending, *self._receiving):
            slot.close()

    def _wait_until_read(self) -> None:
        try:
            self._read.recv_bytes()
        except EOFError as error:
            raise BrokenPipeError('the other end of the channel is gone') from error

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return both ends of a new channel."""
        messages, read = Pipe(), Pipe()
        slots = [_memory() for _ in range(2 * SLOTS)]
        # Each end closes its files, so each has its own.
        theirs = [os.dup(slot) for slot in (*slots[SLOTS:], *slots[:SLOTS])]
        ends = [_detached(messages[side], read[side]) for side in (0, 1)]
        return cls([*ends[0], *slots]), cls([*ends[1], *theirs])


class _Buffer:
    """Memory for the parts of one message, which grows with them."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._view: np.ndarray[Any, np.dtype[np.uint8]] = np.empty(0, np.uint8)

    def write(self, parts: Sequence[bytes | memoryview]) -> list[int]:
        """Put parts one behind the other; return their sizes in bytes."""
        raws = [np.frombuffer(part, np.uint8) for part in parts]
        sizes = [raw.nbytes for raw in raws]
        if sum(sizes) > len(self._view):
            os.ftruncate(self._file, sum(sizes))
            self._map(sum(sizes))
        start = 0
        for raw, size in zip(raws, sizes, strict=True):
            # Numpy lets other threads go on while it copies.
            self._view[start : start + size] = raw
            start += size
        return sizes

    def read(self, sizes: Sequence[int]) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
        """Return copies of what the other end has put here."""
        if sum(sizes) > len(self._view):
            self._map(os.fstat(self._file).st_size)
        ends = np.cumsum(sizes, dtype=np.int64).tolist()
        return [self._view[end - size : end].copy() for end, size in zip(ends, sizes, strict=True)]

    def close(self) -> None:
        """Give the memory back once the other end does, too."""
        self._view = np.empty(0, np.uint8)
        os.close(self._file)

    def _map(self, size: int) -> None:
        self._view = np.frombuffer(mmap.mmap(self._file, size), np.uint8)


def _memory() -> int:
    """Return a file in memory that has no name."""
    # Not in /dev/shm: that of a container is small, and who writes beyond it dies of SIGBUS.
    return os.memfd_create('channel')


def _detached(*connections: Connection) -> list[int]:
    """Return files of connections, which are then closed."""
    files = [os.dup(connection.fileno()) for connection in connections]
    for connection in connections:
        connection.close()
    return files


PATIENCE_S = 30.0
"""How long a process may take to put its things away."""
CALLS, TELLS = 'calls', 'tells'
SAYS, RETURNS, FAILS = 'says', 'returns', 'fails'


class WorkerProcessError(RuntimeError):
    """The process is gone (killed, out of memory), or what its traceback said."""


class RemoteCall:
    """A function at work in a neighbour; iterate over it for what the function says.

    Attributes:
        result: What it returned; known after the iteration.
        returned: It did.

    """

    def __init__(self, process: _WorkerProcess) -> None:
        self._process = process
        self.result: Any = None
        self.returned = False

    def tell(self, message: object) -> None:
        """Tell the function something; waits while it is some messages behind.

        Raises:
            NeighbourError: The process is gone.

        """
        self._process.send((TELLS, message))

    def __iter__(self) -> Iterator[Any]:
        """Yield what the function says until it returns.

        Raises:
            Exception: Whatever the function failed by.
            NeighbourError: The process is gone.

        """
        while True:
            kind, *content = self._process.receive()
            if kind == FAILS:
                raise content[0] from WorkerProcessError(content[1])
            if kind == RETURNS:
                (self.result,), self.returned = content, True
                return
            yield content[0]


class CallerConnection:
    """The function's side of a call."""

    def __init__(self, channel: SharedMemoryPipe) -> None:
        self._channel = channel

    def say(self, message: object) -> None:
        """Say something to the caller; waits while it is some messages behind."""
        self._channel.send((SAYS, message))

    def hear(self) -> Any:  # noqa: ANN401
        """Return what the caller tells next.

        Raises:
            EOFError: The caller has given up. Let it pass, after putting things away.

        """
        _, message = self._channel.receive()
        return message


def prepare() -> None:
    """Start a process for the next call, unless one waits; it takes some seconds to get ready."""
    _idle.append(_free_process())


@contextmanager
def calling(function: Callable[..., Any], *arguments: object) -> Iterator[RemoteCall]:
    """Call a function in a process of its own, to talk with it until it returns.

    The process is a new interpreter, which imports what the function needs; it is kept for later
    calls. If the `with` block ends before the function has returned, the function hears that
    nothing more will come, and is waited for.

    Args:
        function: Of a module; its first argument is a `CallerConnection`.
        arguments: The others; what `pickle` can send.

    Raises:
        NeighbourError: The process is lost.

    """
    process = _free_process()
    call = RemoteCall(process)
    try:
        process.send((CALLS, function, arguments))
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
        self.channel, theirs = SharedMemoryPipe.pair()
        # Its own path would begin with the working folder, where anything may lie.
        path = f'import sys; sys.path[:] = {sys.path!r}'
        serving = f'import {__name__} as here; here.serve({list(theirs.files)!r})'
        self._process = subprocess.Popen(
            [sys.executable, '-c', f'{path}; {serving}'], pass_fds=theirs.files
        )
        theirs.close()

    def send(self, message: object) -> None:
        try:
            self.channel.send(message)
        except OSError as error:
            raise self._lost() from error

    def receive(self) -> Any:  # noqa: ANN401
        try:
            return self.channel.receive()
        except EOFError as error:
            raise self._lost() from error

    def _lost(self) -> WorkerProcessError:
        code = self._wait()
        return WorkerProcessError(f'the process beside this one is gone, with exit code {code}')

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self.channel.close()
        self._wait()

    def _wait(self) -> int:
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


_idle: list[_WorkerProcess] = []


def _free_process() -> _WorkerProcess:
    """Return a process that has nothing to do, a new one if need be."""
    # Another thread may take the last one at any moment.
    with suppress(IndexError):
        while True:
            process = _idle.pop()
            if process.is_alive():
                return process
            process.end()
    return _WorkerProcess()


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def serve(files: list[int]) -> None:
    """Answer calls until the caller is gone; what the process does."""
    # Ctrl-C reaches both; the caller says what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(1)
    keep_freed_memory()
    channel = SharedMemoryPipe(files)
    try:
        while True:
            kind, *content = channel.receive()
            # What was told to a function that has failed meanwhile is for nobody.
            if kind == CALLS:
                channel.send(_answer(CallerConnection(channel), *content))
    except (EOFError, ConnectionError):
        return


def _answer(
    talk: CallerConnection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, ...]:
    try:
        return RETURNS, function(talk, *arguments)
    except Exception as error:  # noqa: BLE001  the caller's, whatever it is
        return FAILS, _portable(error), traceback.format_exc()


def _portable(error: Exception) -> Exception:
    """Return an error that arrives as what it is, or at least as what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # noqa: BLE001  pickling runs the error's own code
        return RuntimeError(f'{type(error).__name__}: {error}')
    return error


Item = TypeVar('Item')


def prefetch(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield items in order, made by a thread of their own, so many of them ahead."""
    end: Any = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, iterator, end))
            yield item


class BackgroundWriter:
    """Calls a function in order in a thread of its own, at most so many calls behind.

    Leaving the `with` block waits for the last call. An error of a call is raised by a later
    `put()`, or there.
    """

    def __init__(self, function: Callable[..., object], depth: int = 2) -> None:
        """Take the function; nobody else may call it meanwhile."""
        self._function, self._depth = function, depth
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[object]] = deque()

    def put(self, *arguments: object) -> None:
        """Call it with these arguments; waits while it is too far behind."""
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
