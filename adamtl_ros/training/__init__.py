# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training of networks, policies and low-rank adapters from a recipe.

``recipe`` declares what a YAML recipe may hold, ``run`` turns a recipe into a model file,
``trainer`` is the loop over stages, and ``objective`` the loss of a batch in each kind of stage;
the losses of single tasks are in ``losses``. ``build`` makes data set and network, ``optim`` the
parameter groups and schedules, ``logger`` the CSV log and the curves. Start reading at
`run.train()`, or at `objective.MultiTaskLoss` for the mathematics.

May import ``nn``, ``data``, and the modules at the top of the package. Imports no ROS.
"""
