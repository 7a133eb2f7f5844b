# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Operations of attention, for torch's FlopCounterMode."""


def attention_flops(q_shape, k_shape, v_shape, *_args, **_kwargs):
    """Two products of every query with every key, at two operations a MAC."""
    batch, heads, queries, dim = q_shape
    return 2 * batch * heads * queries * k_shape[2] * (dim + v_shape[3])
