# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One thread: with two, torch waits actively, and beside another process that takes ages."""

import torch

torch.set_num_threads(1)
