# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a model on recordings: accuracy, compute, latency and energy at each budget.

Every frame runs once at every budget, so the result does not depend on the speed of the machine.
Start reading at `evaluate.evaluate_bag()`: one recording, the engine in this process and the
scoring in a worker process (`process`). `fleet` distributes recordings, `recorded_node` scores the
results of a live node instead, and `result` has the records that all of them return. From these,
`summary` makes `metrics.json`, `report` makes `report.html`, and `compare` compares two summaries.

May import: everything below `commands` and `ros` except `training` and `demo`.
"""
