# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Decoders: from the features of all stages to one raw map per task.

All decoders of a network form one module, a `ModuleDict` by task name, since they run side by
side: `forward(features, tasks, mergings)`, `macs(arch, grids, channels)` for one of them, and
`normalized_features`, which says what the encoder must give, and `neck`, a module before them that
all tasks share, if any. Imports layers and the
architecture's sizes. Start reading at `fpn`, that of convolutional encoders, which has a neck
that all tasks share; `pyramid` is that of Swin, `hrnet` that of the released MTLoRA networks.
"""

from __future__ import annotations

from adamtl_ros.nn.decoders.fpn import FpnDecoders
from adamtl_ros.nn.decoders.hrnet import HrnetDecoders
from adamtl_ros.nn.decoders.pyramid import PyramidDecoders

DECODERS: dict[str, type[FpnDecoders | PyramidDecoders | HrnetDecoders]] = {
    'fpn': FpnDecoders,
    'pyramid': PyramidDecoders,
    'hrnet': HrnetDecoders,
}
"""Decoder modules by `Architecture.decoder`."""

__all__ = ['DECODERS', 'FpnDecoders', 'HrnetDecoders', 'PyramidDecoders']
