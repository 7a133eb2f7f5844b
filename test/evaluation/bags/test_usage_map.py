# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Usage maps: blocks that ran, by place in the image."""

import numpy as np
import pytest

from adamtl_ros.evaluation.bags.result import MAP, UsageMap
from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.gating.plan import FULL, OFF, BlockPlan, Plan, uniform_plan
from adamtl_ros.nn.swin.windows import window_grid

NANO = architecture('nano')
SIZE = (192, 256)
"""48 x 64 tokens: 6 x 8 windows in the first stage, each 4 x 4 places of the map."""

NOTHING = uniform_plan(NANO.depths, OFF)


def after(*plans, size=SIZE):
    usage = UsageMap(NANO)
    for plan in plans:
        usage.add(plan, size)
    return usage


def only(stage, block, windows):
    return NOTHING.replace(stage, block, BlockPlan(windows=tuple(windows)))


@pytest.mark.parametrize('size', [SIZE, (160, 288), (224, 224), (32, 1024)])
def test_a_full_plan_is_one_everywhere(size):
    usage = after(uniform_plan(NANO.depths), size=size)
    assert (usage.map.shape, usage.frames) == (MAP, 1)
    assert (usage.map == 1).all()
    assert (usage.blocks == 1).all()


@pytest.mark.parametrize('size', [SIZE, (160, 288), (224, 224), (32, 1024)])
def test_all_windows_by_their_numbers_are_the_same_as_all(size):
    """Shifted ones, and those that reach beyond the image, included."""
    plan = NOTHING
    height, width = size[0] // 4, size[1] // 4
    for stage, depth in enumerate(NANO.depths):
        for block in range(depth):
            grid = window_grid(height, width, NANO.window, block % 2 == 1)
            plan = plan.replace(stage, block, BlockPlan(windows=tuple(range(grid.count))))
        height, width = (height + 1) // 2, (width + 1) // 2
    np.testing.assert_allclose(after(plan, size=size).map, 1, atol=1e-5)


def test_nothing_ran_without_frames_or_blocks():
    assert not after().map.any()
    assert not after().blocks.any()
    assert not after(NOTHING).map.any()
    assert after(NOTHING).frames == 1


@pytest.mark.parametrize(('row', 'column'), [(0, 0), (2, 3), (5, 7)])
def test_a_window_lights_up_its_place_only(row, column):
    usage = after(only(0, 0, [row * 8 + column]))
    expected = np.zeros(MAP)
    expected[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1 / NANO.block_count
    np.testing.assert_allclose(usage.map, expected)
    assert usage.blocks.tolist() == [1] + [0] * (NANO.block_count - 1)


def test_windows_of_a_shifted_block_lie_half_a_window_further():
    """The second stage has 24 x 32 tokens, one for each place of the map, in 3 x 4 windows."""
    plain, shifted = after(only(1, 0, [0])).map, after(only(1, 1, [0])).map
    expected = np.zeros(MAP)
    expected[:8, :8] = 1 / NANO.block_count
    np.testing.assert_allclose(plain, expected)
    np.testing.assert_allclose(shifted, np.roll(expected, (4, 4), (0, 1)))


def test_the_last_shifted_window_wraps_around():
    found = after(only(1, 1, [11])).map > 0
    corners = np.zeros(MAP, bool)
    for rows in (slice(None, 4), slice(-4, None)):
        for columns in (slice(None, 4), slice(-4, None)):
            corners[rows, columns] = True
    np.testing.assert_array_equal(found, corners)


def test_blocks_and_frames_are_averaged():
    half = NOTHING.replace(2, 3, FULL)
    usage = after(uniform_plan(NANO.depths), half, NOTHING, half)
    assert usage.blocks[1 + 2 + 3] == 0.75
    assert set(np.delete(usage.blocks, 6)) == {0.25}
    np.testing.assert_allclose(usage.map, (1 + 0.1 + 0 + 0.1) / 4)


def test_merging_equals_adding():
    plans = [only(0, 0, [1, 5]), uniform_plan(NANO.depths), only(1, 1, [2]), NOTHING]
    one, other, whole = after(*plans[:1]), after(*plans[1:]), after(*plans)
    assert (one.empty().frames, one.empty().map.any()) == (0, False)
    total = one.empty()
    for part in (one, other):
        total.merge(part)
    assert total.frames == 4
    np.testing.assert_allclose(total.map, whole.map)
    np.testing.assert_array_equal(total.blocks, whole.blocks)
    assert other.frames == 3


def test_the_map_does_not_change_with_the_size_of_images():
    """A window in the middle of a wide image, and of a narrow one."""
    usage = UsageMap(NANO)
    usage.add(Plan(((BlockPlan(windows=(0,)),), *NOTHING.stages[1:])), (64, 64))
    # 16 x 16 tokens: the first of four windows is a quarter of the image.
    expected = np.zeros(MAP)
    expected[: MAP[0] // 2, : MAP[1] // 2] = 1 / NANO.block_count
    found = usage.map
    assert found[:11, :15] == pytest.approx(1 / NANO.block_count)
    assert not found[13:].any()
    assert not found[:, 17:].any()
    assert found.sum() == pytest.approx(expected.sum(), rel=0.05)


def test_padding_does_not_move_windows():
    """The second stage has 28 x 28 tokens, in 4 x 4 windows that reach 4 tokens beyond."""
    first, last = (after(only(1, 0, [number]), size=(224, 224)).map for number in (0, 15))
    area = MAP[0] * MAP[1] / NANO.block_count
    assert first.sum() == pytest.approx(area * (8 / 28) ** 2, rel=1e-3)
    assert last.sum() == pytest.approx(area * (4 / 28) ** 2, rel=1e-3)
    assert last[-1, -1] == pytest.approx(1 / NANO.block_count)
