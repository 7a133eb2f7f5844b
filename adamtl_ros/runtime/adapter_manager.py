# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Another adapter takes over between two frames, made ready on a thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.nn.io.checkpoint import base_digest, check_base, load_adapted, read_adapter_header
from adamtl_ros.runtime.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.runtime.engine import Engine


class AdapterManager:
    """The engine of this moment.

    Whoever runs frames takes `engine` once for each frame: it is replaced in one step, so every
    frame is of exactly one adapter, the one in its model's name. The old engine goes once the
    last frame is through it. The base's is kept, ready to take over.

    Attributes:
        engine: Runs the next frame.
        adapter: Path of its adapters; empty for the base.
        failure: Why the last change did not happen; empty when it did.

    """

    def __init__(
        self,
        base: Model,
        make: Callable[[Model], Engine],
        adapter: str = '',
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make the engines of the base and of the first adapter ready.

        Args:
            base: Model without adapters, unless there is never to be another one.
            make: Makes an engine of a model.
            adapter: Path of a file of adapters; empty for the base.
            changed: Told of every change, and of every failure, with the path that was asked
                for; called on this object's thread.

        Raises:
            CheckpointError: Not such a file, damaged, or adapters of another base.

        """
        self._base, self._make, self._changed = base, make, changed
        self._digest = base_digest(base.network)
        self._lock = threading.Lock()
        self._wanted = self.adapter = adapter
        self.failure = ''
        self._base_engine = make(base)
        self._base_engine.warm_up()
        self.engine = self._prepare(adapter)
        self._worker: Worker[str] = Worker(self._change, lambda: 0.0, 'adamtl-adapter')
        self._worker.start()

    def check(self, adapter: str) -> None:
        """Check what can be checked quickly: that there is such a file, and for this base.

        Raises:
            CheckpointError: There is not.

        """
        if adapter:
            path = Path(adapter)
            check_base(read_adapter_header(path), self._base, self._digest, path)

    def request(self, adapter: str) -> None:
        """Make adapters ready and let them take over; of several requests the last one wins.

        If they cannot be used, the engine in force goes on, and `failure` says why.

        Args:
            adapter: Path of the file; empty for the base.

        """
        with self._lock:
            self._wanted = adapter
        self._worker.mailbox.put(adapter)

    def stop(self) -> None:
        """End the thread once what it is at is done; nothing changes any more."""
        with self._lock:
            self._wanted, self._changed = self.adapter, lambda _: None
        self._worker.stop()

    def _change(self, adapter: str) -> None:
        """Prepare an engine and put it into force, on the thread of the worker."""
        try:
            engine = self._prepare(adapter)
        except Exception as error:  # noqa: BLE001  whatever it is, the old engine goes on
            reason = str(error) if isinstance(error, ValueError) else repr(error)
            changed = self._refuse(adapter, reason)
        else:
            changed = self._install(adapter, engine)
        changed(adapter)

    def _prepare(self, adapter: str) -> Engine:
        if not adapter:
            return self._base_engine
        engine = self._make(load_adapted(self._base, Path(adapter), self._digest))
        engine.warm_up()
        return engine

    def _install(self, adapter: str, engine: Engine) -> Callable[[str], None]:
        with self._lock:
            if adapter != self._wanted:
                return lambda _: None  # a later request waits
            self.engine, self.adapter, self.failure = engine, adapter, ''
            return self._changed

    def _refuse(self, adapter: str, reason: str) -> Callable[[str], None]:
        with self._lock:
            if adapter != self._wanted:
                return lambda _: None
            self._wanted, self.failure = self.adapter, reason
            return self._changed
