# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model, with the adapters that it is to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adamtl_ros.nn.adapter_file import adapted
from adamtl_ros.nn.checkpoint import load_model

if TYPE_CHECKING:
    from pathlib import Path

    from adamtl_ros.nn.checkpoint import Model


def open_model(source: str, adapter: Path | None = None) -> Model:
    """Load a model by name or file, and adapters for it from another one.

    Args:
        source: As `load_model()` takes it.
        adapter: File that `save_adapter()` wrote; none if not given.

    Raises:
        CheckpointError: A file that cannot be used, or adapters of another model.

    """
    model = load_model(source)
    return adapted(model, adapter) if adapter else model
