# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Replacement of the adapter between two frames, loaded on a thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.nn.io.checkpoint import base_digest, check_base, load_adapted, read_adapter_header
from adamtl_ros.runtime.worker import Worker
from adamtl_ros.text import reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.runtime.engine import Engine


class AdapterManager:
    """Owner of the current engine, which it replaces when another adapter is requested.

    A caller reads `engine` once per frame: it is replaced atomically, so that every frame is of
    exactly one adapter, the one in its model's name. The old engine is freed with its last
    frame; the engine of the base model stays.

    Attributes:
        engine: Current engine.
        adapter: Path of the current adapter file; empty for the base.
        failure: Reason why the last change failed; empty if it did not.

    """

    def __init__(
        self,
        base: Model,
        make_engine: Callable[[Model], Engine],
        adapter: str = '',
        on_change: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Create the engines of the base and of the first adapter.

        Args:
            base: Model without adapters.
            make_engine: Function that creates an engine for a model.
            adapter: Path of an adapter file; empty for the base.
            on_change: Function called after every change and every failure with the requested
                path, on this object's thread.

        Raises:
            CheckpointError: Not an adapter file, damaged, or made for another base.

        """
        self._base, self._make_engine, self._on_change = base, make_engine, on_change
        self._digest = base_digest(base.network)
        self._lock = threading.Lock()
        self._requested = self.adapter = adapter
        self.failure = ''
        self._base_engine = make_engine(base)
        self._base_engine.warm_up()
        self.engine = self._load_engine(adapter)
        self._worker: Worker[str] = Worker(self._change, lambda: 0.0, 'adamtl-adapter')
        self._worker.start()

    def check(self, adapter: str) -> None:
        """Check an adapter file without loading its weights.

        Raises:
            CheckpointError: No such file, not an adapter file, or made for another base.

        """
        if adapter:
            path = Path(adapter)
            check_base(read_adapter_header(path), self._base, self._digest, path)

    def request(self, adapter: str) -> None:
        """Load an adapter file in the background and switch to it; the last request wins.

        If it cannot be used, the current engine stays, and `failure` gives the reason.

        Args:
            adapter: Path of the file; empty for the base.

        """
        with self._lock:
            self._requested = adapter
        self._worker.mailbox.put(adapter)

    def stop(self) -> None:
        """Finish the current work without effect and end the thread."""
        with self._lock:
            self._requested, self._on_change = self.adapter, lambda _: None
        self._worker.stop()
        for engine in (self._base_engine, self.engine):
            engine.close()

    def _change(self, adapter: str) -> None:
        """Load an engine and switch to it, on the thread of the worker."""
        try:
            engine = self._load_engine(adapter)
        except Exception as error:  # noqa: BLE001  after any failure the old engine stays
            notify = self._refuse(adapter, reason(error))
        else:
            notify = self._install(adapter, engine)
        notify(adapter)

    def _load_engine(self, adapter: str) -> Engine:
        if not adapter:
            return self._base_engine
        engine = self._make_engine(load_adapted(self._base, Path(adapter), self._digest))
        engine.warm_up()
        _check_results(engine)
        return engine

    def _install(self, adapter: str, engine: Engine) -> Callable[[str], None]:
        with self._lock:
            if adapter != self._requested:
                return lambda _: None  # a later request is waiting
            if self.engine is not self._base_engine:
                self.engine.close()
            self.engine, self.adapter, self.failure = engine, adapter, ''
            return self._on_change

    def _refuse(self, adapter: str, problem: str) -> Callable[[str], None]:
        with self._lock:
            if adapter != self._requested:
                return lambda _: None
            self._requested, self.failure = self.adapter, problem
            return self._on_change


def _check_results(engine: Engine) -> None:
    """Refuse a network whose results on noise are not finite; its weights may all be.

    Raises:
        ValueError: They are not.

    """
    noise = np.random.default_rng(0).integers(0, 256, (*engine.model.input_size, 3), np.uint8)
    maps = engine.infer(noise).maps
    bad = [name for name, raw in maps.items() if not np.isfinite(raw).all()]
    if bad:
        raise ValueError(
            f"'{engine.model.name}' gives values that are not finite for {', '.join(bad)}"
        )
