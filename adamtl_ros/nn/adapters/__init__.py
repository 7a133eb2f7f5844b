# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MTLoRA adapters: low-rank pairs shared by all tasks, and those of each task.

Start reading with the picture on top of `lora`, which holds the configuration and the adapted
block; `inject` puts adapters on a whole network, merges them and takes them off. Imports the
layers and the Swin encoder.
"""
