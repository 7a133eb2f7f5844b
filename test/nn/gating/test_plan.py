# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plans as plain descriptions."""

import pytest

from adamtl_ros.nn.gating.plan import FULL, OFF, BlockPlan, Plan, uniform_plan


def test_counts_and_order():
    plan = Plan.from_blocks([FULL, OFF, BlockPlan(windows=(1, 2))], (2, 1))
    assert plan.stages == ((FULL, OFF), (BlockPlan(windows=(1, 2)),))
    assert plan.blocks == (FULL, OFF, BlockPlan(windows=(1, 2)))
    assert (plan.blocks_run, plan.blocks_total) == (2, 3)


def test_replace_leaves_the_original():
    plan = uniform_plan((1, 2))
    assert plan.replace(1, 0, OFF).stages == ((FULL,), (OFF, FULL))
    assert plan == uniform_plan((1, 2), FULL)


def test_tasks_whose_branches_run():
    assert FULL.allowed_branches(['depth', 'edges']) == ['depth', 'edges']
    assert BlockPlan(tasks=('edges', 'depth')).allowed_branches(['depth', 'normals']) == ['depth']
    assert BlockPlan(tasks=()).allowed_branches(['depth']) == []


@pytest.mark.parametrize('width', [0, -0.5, 1.01, float('nan')])
def test_impossible_widths(width):
    with pytest.raises(ValueError, match=r'width of a block must lie in \(0, 1\], got'):
        BlockPlan(width=width)
