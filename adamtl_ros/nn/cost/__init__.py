# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Cost: exact MACs of a network and of its parts, and the gates that a budget can open.

Start reading with `macs.PART_GATES`, which says what an open gate costs; `macs` counts in closed
form, `budget` turns scores, gates and plans into fractions of the full MACs and back. Imports
the decoders, the adapters and the gates.
"""
