# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files: models and adapters as safetensors with a JSON header, and imports from other projects.

Start reading at `checkpoint.load_model()`; `convert` imports official Swin files and released
MTLoRA checkpoints. Imports the network and the adapters.
"""
