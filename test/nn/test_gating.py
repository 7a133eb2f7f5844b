# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which blocks a budget leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.nn.complexity import complexity
from adamtl_ros.nn.gating import Plan, full_plan, plan_for_budget
from adamtl_ros.tasks import TASKS

ARCHS = st.sampled_from(list(ARCHITECTURES.values()))
BUDGETS = st.floats(0, 1, exclude_min=True)


def plan(arch, budget, tasks=tuple(TASKS)):
    counts = complexity(arch, arch.input_size, tuple(TASKS.values()))
    return counts, plan_for_budget(counts, arch.depths, tasks, budget)


@given(ARCHS, BUDGETS, st.sets(st.sampled_from(list(TASKS)), min_size=1))
def test_budget_is_kept_or_everything_is_off(arch, budget, tasks):
    counts, chosen = plan(arch, budget, tasks)
    full = counts.total(full_plan(arch.depths), tasks)
    assert counts.total(chosen, tasks) <= budget * full or chosen.blocks_run == 0


@given(ARCHS, BUDGETS, BUDGETS)
def test_more_budget_runs_a_superset(arch, one, other):
    less, more = sorted((one, other))
    small, large = plan(arch, less)[1], plan(arch, more)[1]
    for kept, allowed in zip(small.blocks, large.blocks, strict=True):
        assert all(a or not k for k, a in zip(kept, allowed, strict=True))


@given(ARCHS, BUDGETS)
def test_no_block_is_left_out_that_would_fit_next(arch, budget):
    """The plan with one block more, in the order of leaving, costs more than allowed."""
    counts, chosen = plan(arch, budget)
    larger = min(
        (p for p in (plan(arch, b / 200)[1] for b in range(1, 201))
         if p.blocks_run > chosen.blocks_run),
        key=lambda p: p.blocks_run,
        default=None,
    )  # fmt: skip
    if larger is not None:
        assert counts.total(larger, TASKS) > budget * counts.total(full_plan(arch.depths), TASKS)


def test_order_by_hand():
    """The deepest stage loses its last block first."""
    nano = ARCHITECTURES['nano']
    assert nano.depths == (1, 2, 6, 1)
    chosen = plan(nano, 0.8)[1]
    assert chosen.blocks == ((True,), (True, True), (True,) * 3 + (False,) * 3, (True,))


@pytest.mark.parametrize('budget', [0, -0.1, 1.001, float('nan'), float('inf')])
def test_impossible_budgets(budget):
    with pytest.raises(ValueError, match=r'budget must lie in \(0, 1\], got'):
        plan(ARCHITECTURES['nano'], budget)


def test_counts():
    some = Plan(((True, False), (True,)))
    assert (some.blocks_run, some.blocks_total) == (2, 3)
    assert some.without(1, 0).blocks == ((True, False), (False,))
