# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and paths that may be anything."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_writable(path: Path, size: int = 0) -> None:
    """Check that a file can be written, before hours of work.

    Args:
        path: File to write later.
        size: Number of bytes that it will have.

    Raises:
        OSError: The folder does not exist, is full or cannot be written to, or the path is a
            folder.

    """
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder; name a file')
    folder = path.resolve().parent
    if not folder.is_dir():
        raise FileNotFoundError(f'{path} cannot be written: {folder} is no folder')
    if (free := shutil.disk_usage(folder).free) < size:
        raise OSError(
            f'{path} cannot be written: {size / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB free'
        )
    with _beside(path) as unfinished:
        unfinished.touch()


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file beside its place and rename it: a full disk never leaves half a file.

    What stood there before stays until the new file is complete. Permissions are by the umask;
    a link stays one, and a pipe or device is written to.

    Raises:
        OSError: The file cannot be written.

    """
    data = data.encode() if isinstance(data, str) else data
    if path.exists() and not is_regular(path):
        path.write_bytes(data)
        return
    with _beside(path) as unfinished:
        with unfinished.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path.resolve())


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a name beside a file, which is removed at the end if it still exists."""
    place = path.resolve()
    unfinished = place.with_name(f'.{place.name[:100]}.{os.getpid()}.part')
    try:
        yield unfinished
    except OSError as error:
        raise type(error)(f'{path} cannot be written: {error.strerror or error}') from error
    finally:
        with suppress(OSError):  # there is none in a folder that does not exist
            unfinished.unlink(missing_ok=True)


def is_regular(path: Path) -> bool:
    """Return whether a path is a file of bytes that can be looked at; see `file_problem()`."""
    return not file_problem(path)


def file_problem(path: Path) -> str:
    """Return why a path cannot be read as a file of bytes; empty if it can.

    `Path.is_file()` raises for a name that is too long or a folder that is closed, and opening a
    pipe may wait for ever.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return 'no such file'
    except (OSError, ValueError) as error:
        return getattr(error, 'strerror', None) or str(error)
    if stat.S_ISDIR(mode):
        return 'no such file, but a folder'
    return '' if stat.S_ISREG(mode) else 'no regular file'
