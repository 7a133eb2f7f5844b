# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A process beside this one, so that other Python work does not make the network wait.

Threads share one interpreter with the network, and one of many small operations then waits for
the interpreter longer than it computes.
"""

from __future__ import annotations

import atexit
import pickle
import signal
import subprocess
import sys
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from adamtl_ros.runtime.channel import Channel
from adamtl_ros.runtime.memory import keep_freed_memory
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 30.0
"""How long a process may take to put its things away."""

CALLS, TELLS = 'calls', 'tells'
SAYS, RETURNS, FAILS = 'says', 'returns', 'fails'


class NeighbourError(RuntimeError):
    """The process is gone (killed, out of memory), or what its traceback said."""


class Call:
    """A function at work in a neighbour; iterate over it for what the function says.

    Attributes:
        result: What it returned; known after the iteration.
        returned: It did.

    """

    def __init__(self, process: _Process) -> None:
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
                raise content[0] from NeighbourError(content[1])
            if kind == RETURNS:
                (self.result,), self.returned = content, True
                return
            yield content[0]


class Talk:
    """The function's side of a call."""

    def __init__(self, channel: Channel) -> None:
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
def calling(function: Callable[..., Any], *arguments: object) -> Iterator[Call]:
    """Call a function in a process of its own, to talk with it until it returns.

    The process is a new interpreter, which imports what the function needs; it is kept for later
    calls. If the `with` block ends before the function has returned, the function hears that
    nothing more will come, and is waited for.

    Args:
        function: Of a module; its first argument is a `Talk`.
        arguments: The others; what `pickle` can send.

    Raises:
        NeighbourError: The process is lost.

    """
    process = _free_process()
    call = Call(process)
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


class _Process:
    def __init__(self) -> None:
        self.channel, theirs = Channel.pair()
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

    def _lost(self) -> NeighbourError:
        code = self._wait()
        return NeighbourError(f'the process beside this one is gone, with exit code {code}')

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


_idle: list[_Process] = []


def _free_process() -> _Process:
    """Return a process that has nothing to do, a new one if need be."""
    # Another thread may take the last one at any moment.
    with suppress(IndexError):
        while True:
            process = _idle.pop()
            if process.is_alive():
                return process
            process.end()
    return _Process()


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
    channel = Channel(files)
    try:
        while True:
            kind, *content = channel.receive()
            # What was told to a function that has failed meanwhile is for nobody.
            if kind == CALLS:
                channel.send(_answer(Talk(channel), *content))
    except (EOFError, ConnectionError):
        return


def _answer(
    talk: Talk, function: Callable[..., Any], arguments: tuple[Any, ...]
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
