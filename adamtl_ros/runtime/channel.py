# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Python objects from one process to another, their arrays through shared memory."""

from __future__ import annotations

import mmap
import os
import pickle
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

SLOTS = 3
"""Messages that may be under way in one direction before the sender has to wait."""

FILES = 2 + 2 * SLOTS
"""File descriptors of one end."""


class Channel:
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
        slots = [_Slot(file) for file in files[2:]]
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


class _Slot:
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
