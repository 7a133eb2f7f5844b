# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adaptive multi-task perception for ROS 2: six dense predictions under a compute budget.

The names below are the public interface. They are loaded on first use, so that `import adamtl_ros`
is quick and a ROS node that only needs `adamtl_ros.msg` loads neither torch nor OpenCV.

* `load_model`, `save_model`, `shipped_weights`: models as files; `Model` is what they hold.
* `Engine`: images in, results out, at a budget. It returns an `Inference`.
* `Stream`: the frames of a camera in, results out, at a mean budget, by an engine with a memory.
* `calibrate`: fit the budgets of a network to images of your own.
* `evaluate`: metrics, MACs and latency on a `Dataset`, a sequence of `Sample`.
* `TASKS`: the task table.

Example:
    >>> import adamtl_ros
    >>> engine = adamtl_ros.Engine(adamtl_ros.load_model('indoor_lite0'))
    >>> inference = engine.run(image, budget=0.5, tasks=['depth'])  # (H, W, 3) uint8, RGB
    >>> inference.results['depth']  # (H, W) float32, meters

"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adamtl_ros.evaluation.evaluate import evaluate
    from adamtl_ros.focal import relative_focal
    from adamtl_ros.nn.calibrate import calibrate
    from adamtl_ros.nn.io.checkpoint import Model, load_model, save_model, shipped_weights
    from adamtl_ros.runtime.engine import Engine, Inference
    from adamtl_ros.sample import Dataset, Sample
    from adamtl_ros.stream.stream import Stream
    from adamtl_ros.tasks import TASKS

# The messages are generated into the installed package. Python that runs in the checkout finds
# this folder first, and the messages through the extended path.
__path__ = extend_path(__path__, __name__)

__version__ = '0.1.0'

__all__ = [
    'TASKS',
    'Dataset',
    'Engine',
    'Inference',
    'Model',
    'Sample',
    'Stream',
    '__version__',
    'calibrate',
    'evaluate',
    'load_model',
    'relative_focal',
    'save_model',
    'shipped_weights',
]

_MODULES = {
    'TASKS': 'tasks',
    'Dataset': 'sample',
    'Engine': 'runtime.engine',
    'Inference': 'runtime.engine',
    'Model': 'nn.io.checkpoint',
    'Sample': 'sample',
    'Stream': 'stream.stream',
    'calibrate': 'nn.calibrate',
    'evaluate': 'evaluation.evaluate',
    'load_model': 'nn.io.checkpoint',
    'relative_focal': 'focal',
    'save_model': 'nn.io.checkpoint',
    'shipped_weights': 'nn.io.checkpoint',
}

if not TYPE_CHECKING:  # else every name would be known to a type checker

    def __getattr__(name: str) -> object:
        """Import a public name on first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        value = getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
