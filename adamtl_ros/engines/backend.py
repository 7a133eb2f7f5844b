# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Interface of the engines: which graph to run, what comes out, and the backend that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adamtl_ros.nn.gating.plan import Plan

    Maps = dict[str, NDArray[np.float32]]

AUTO = 'auto'
ENGINES = (AUTO, 'torch', 'openvino')
"""Values of the option `engine`."""
PRECISIONS = (AUTO, 'float32', 'bfloat16')
"""Values of the option `precision`."""


class EngineError(RuntimeError):
    """An engine that cannot be used here; the message says why."""


class UnsupportedPrecision(EngineError):  # noqa: N818  a fact about the machine, no failure
    """A precision that this machine does not have."""


@dataclass(frozen=True)
class Graph:
    """What a static graph computes: a plan, at one input size, for some tasks.

    Attributes:
        plan: Parts of the encoder that run.
        size: Height and width of the input, scaled as the plan says [pixels].
        tasks: Names of the tasks, in the order of the task table.

    """

    plan: Plan
    size: tuple[int, int]
    tasks: tuple[str, ...]

    def serves(self, other: Graph) -> bool:
        """Whether the maps of another graph are among those of this one."""
        same = (self.plan, self.size) == (other.plan, other.size)
        return same and set(self.tasks) >= set(other.tasks)


@dataclass(frozen=True)
class RawMaps:
    """Raw maps of one image, and what computed them.

    Attributes:
        maps: Raw maps of the requested tasks by name, (channels, h, w) float32.
        tasks: Names of the tasks that were computed: the requested ones, or more.
        engine: Name of the engine.
        precision: Precision of the computation.
        borrowed: Whether the maps are memory of the engine, valid until it runs again.

    """

    maps: Maps
    tasks: tuple[str, ...]
    engine: str
    precision: str
    borrowed: bool = False


class Backend(Protocol):
    """Engine that runs graphs of one model. Not thread-safe.

    Attributes:
        name: Name of the engine, of `ENGINES`.
        precision: Precision of the computation, of `PRECISIONS`.

    """

    name: str
    precision: str

    def prepare(self, graph: Graph, *, wait: bool = True) -> None:
        """Get ready to run a graph.

        Args:
            graph: Graph to prepare.
            wait: Whether to return only when it is ready; else the work goes on in the
                background.

        Raises:
            EngineError: The graph cannot be prepared; only if waited for.

        """

    def run(self, pixels: NDArray[np.uint8], graph: Graph) -> RawMaps:
        """Run a graph, or something that gives the same maps, on an image.

        Args:
            pixels: RGB image, (h, w, 3) uint8, of the size of the graph, contiguous.
            graph: Graph to run.

        """

    def close(self) -> None:
        """Give up what is still being prepared; what is ready can still run."""
