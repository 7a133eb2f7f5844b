# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite encoders: convolutions that run fast on CPUs, with ImageNet weights."""
