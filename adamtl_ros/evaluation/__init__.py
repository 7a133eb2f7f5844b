# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Accuracy and cost of models, on data sets and on recordings.

`evaluate.evaluate()` runs an engine on a data set at several budgets; ``metrics`` has the metrics
of all tasks and the comparison of networks, on numpy arrays. ``bags`` evaluates recordings.
Start reading at `evaluate.evaluate()`, or at `metrics.METRICS` for one task.

May import ``runtime`` and the modules at the top of the package; ``bags`` may import more.
``metrics`` needs numpy, OpenCV and scipy only, no torch.
"""
