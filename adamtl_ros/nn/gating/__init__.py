# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Gates: what of the encoder runs, who decides it, and how it is executed.

Start reading with the picture on top of `gates`. `policy` scores the gates, `calibration` holds
the thresholds of budgets, `plan` describes what runs on one image, `execution` runs it. Imports
the Swin encoder and the adapters; what gates cost is in `cost`, which imports this package.
"""
