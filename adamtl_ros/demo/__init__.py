# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`make demo`: a camera bag through the live node, recorded, drawn and summed up."""
