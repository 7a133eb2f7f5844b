# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Swin Transformer encoder at any input size, of which any part can be left out.

Start reading with the picture on top of `encoder`; `architecture` holds the sizes by name,
`windows` the index vectors of window partitions. Imports the shared layers only.
"""
