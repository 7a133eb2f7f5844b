# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Index vectors of the window grids, by hand and by properties."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.nn.swin.windows import WindowGrid, permutation, window_grid

CPU = torch.device('cpu')
GRIDS = st.builds(
    WindowGrid, st.integers(1, 20), st.integers(1, 20), st.integers(2, 7), st.booleans()
)


def test_order_by_hand():
    assert WindowGrid(2, 4, 2, shifted=False).order.tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    # Shifted by one column; the two rows are one window high and stay.
    assert WindowGrid(2, 4, 2, shifted=True).order.tolist() == [1, 2, 5, 6, 3, 0, 7, 4]


def test_mask_by_hand():
    assert WindowGrid(2, 4, 2, shifted=False).mask is None
    mask = WindowGrid(2, 4, 2, shifted=True).mask
    assert not mask[0].any()
    # The second window joins columns 3 and 0, which are no neighbours.
    assert mask[1, 0].tolist() == [False, True, False, True]


@given(GRIDS)
def test_order_is_a_permutation(grid):
    height, width = grid.padded
    assert sorted(grid.order.tolist()) == list(range(height * width))
    assert grid.count * grid.window**2 == height * width


@given(GRIDS)
def test_every_token_may_attend_to_itself_and_back(grid):
    if grid.mask is not None:
        assert not grid.mask.diagonal(dim1=1, dim2=2).any()
        assert torch.equal(grid.mask, grid.mask.transpose(1, 2))


@given(GRIDS)
def test_allowed_pairs_were_neighbours(grid):
    """Whoever may attend lies within one window's reach, and never pads with image."""
    width = grid.padded[1]
    slots = grid.order.view(grid.count, -1)
    rows, columns = slots // width, slots % width
    allowed = torch.ones(grid.count, slots.shape[1], slots.shape[1], dtype=torch.bool)
    if grid.mask is not None:
        allowed = ~grid.mask
    for axis, valid in ((rows, grid.height), (columns, grid.width)):
        apart = (axis[:, :, None] - axis[:, None, :]).abs()
        assert (apart[allowed] < grid.window).all()
        pads = axis >= valid
        assert (pads[:, :, None] == pads[:, None, :])[allowed].all()


@given(GRIDS)
def test_regather_is_the_way_there_and_back(grid):
    other = window_grid(grid.height, grid.width, grid.window, shifted=not grid.shifted)
    tokens = torch.arange(grid.padded[0] * grid.padded[1])
    windows = tokens[permutation(None, grid, CPU)]
    assert torch.equal(windows[permutation(grid, None, CPU)], tokens)
    shifted = windows[permutation(grid, other, CPU)]
    assert torch.equal(shifted, tokens[permutation(None, other, CPU)])
