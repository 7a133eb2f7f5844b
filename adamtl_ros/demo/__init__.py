# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `make demo` runs: a camera bag through the live node, recorded, drawn and summarized.

The node and the player are processes of their own; `session` starts them and records the topics.
Imports everything below it. Start with `main.run_demo()`.
"""
