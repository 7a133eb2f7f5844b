# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""adapters"""
