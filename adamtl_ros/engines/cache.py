# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folder of the user with compiled graphs and choices of engines, for a fast next start."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from adamtl_ros.nn.io.checkpoint import Model

LOGGER = logging.getLogger(__name__)
MAX_BYTES = 1 << 30
"""Size of the folder above which the files that were not used for longest are removed."""
DIGEST_BYTES = hashlib.sha256().digest_size


class CacheFolder:
    """Files by name, each with a digest of its content in front, so that a damaged one is missed.

    A folder that cannot be written to costs a warning and the next start its speed, no more.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Name the folder; it is made with the first file.

        Args:
            folder: Folder; that of the user if not given.

        """
        self.folder = folder or default_folder()

    def load(self, name: str) -> bytes | None:
        """Return the content of a file; None if it is missing or damaged."""
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, content = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            LOGGER.warning('%s is damaged; it is made again', path)
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def save(self, name: str, content: bytes) -> None:
        """Write a file, and remove old ones above the largest size of the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_whole(self.folder / name, hashlib.sha256(content).digest() + content)
            self._shrink()
        except OSError as error:
            _warn_once(f'compiled graphs are not kept for the next start: {error}')

    def _shrink(self) -> None:
        found = [(path, path.stat()) for path in self.folder.iterdir() if path.is_file()]
        total = sum(status.st_size for _, status in found)
        for path, status in sorted(found, key=lambda pair: pair[1].st_mtime):
            if total <= MAX_BYTES:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it."""
    partial = path.with_name(f'{path.name}.{os.getpid()}.{threading.get_ident()}')
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def default_folder() -> Path:
    """Return the user's cache folder of this package (XDG base directories)."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    root = Path(base) if Path(base).is_absolute() else Path.home() / '.cache'
    return root / 'adamtl_ros'


def key_of(*parts: Any) -> str:
    """Return a name for what depends on these JSON values, and on nothing else."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def model_key(model: Model) -> str:
    """Return a name for a network's weights, structure and code, and its normalization."""
    digest = hashlib.sha256()
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(f'{name} {tuple(value.shape)} {value.dtype}\n'.encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    network = model.network
    parts = (network.arch.to_dict(), network.policy.config, network.adapters, network.merged)
    tasks = list(network.tasks.values())
    about = (digest.hexdigest(), _code_key(), *parts, tasks, model.mean, model.std)
    return key_of(*map(str, about), torch.__version__)


@lru_cache(maxsize=1)
def _code_key() -> str:
    """Return a name for the code of networks and engines, which changes while weights do not."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted([*(package / 'nn').rglob('*.py'), *(package / 'engines').rglob('*.py')]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=32)
def _warn_once(message: str) -> None:
    LOGGER.warning(message)
