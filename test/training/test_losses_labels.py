# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labels at a coarser resolution, worked by hand."""

import pytest
import torch

from adamtl_ros.tasks import TASKS
from adamtl_ros.training.losses import downsample_labels, downsample_weights

U = 255


def test_edges_stay_where_a_square_holds_one():
    label = torch.tensor(
        [
            [0, 0, 0, 1, U, U],
            [0, 0, 0, 0, U, U],
            [U, 0, U, 0, 0, 0],
            [0, 0, 0, 1, 1, 1],
        ],
        dtype=torch.uint8,
    )
    found = downsample_labels(TASKS['edges'], label[None], 2)
    # Nothing, an edge, all unknown; partly unknown without an edge, with one; only edges.
    assert found.tolist() == [[[0, 1, U], [U, 1, 1]]]
    assert found.dtype == torch.uint8


def test_soft_edges_are_the_maximum_of_a_square():
    n = torch.nan
    label = torch.tensor([[0, 0.2, 0.4, n, 0.5, n], [0.1, 0, 0, 0, n, 0.9]])
    found = downsample_labels(TASKS['edges'], label[None], 2)
    # Known; unknown beside less than 0.5; an edge in spite of unknown pixels.
    torch.testing.assert_close(found, torch.tensor([[[0.2, n, 0.9]]]), equal_nan=True)
    nothing = torch.full((1, 2, 2), n)
    assert downsample_labels(TASKS['edges'], nothing, 2).isnan().all()


def test_weights_of_pixels_are_those_of_the_middle():
    weight = torch.arange(32.0).view(1, 4, 8)
    assert downsample_weights(weight, 4).tolist() == [[[18, 22]]]
    image = torch.rand(3, 1, 1)
    assert torch.equal(downsample_weights(image, 4), image)


@pytest.mark.parametrize('name', ['semseg', 'human_parts', 'saliency', 'depth'])
def test_of_others_the_middle_counts(name):
    label = torch.arange(48).view(1, 6, 8)
    label = label.float() if name == 'depth' else label.to(torch.uint8)
    assert downsample_labels(TASKS[name], label, 2).tolist() == [
        [[9, 11, 13, 15], [25, 27, 29, 31], [41, 43, 45, 47]]
    ]
    assert downsample_labels(TASKS[name], label[:, :4], 4).tolist() == [[[18, 22]]]


def test_unknown_stays_unknown():
    classes = torch.full((1, 4, 4), U, dtype=torch.uint8)
    assert downsample_labels(TASKS['semseg'], classes, 4).tolist() == [[[U]]]
    depth = torch.full((1, 4, 4), torch.nan)
    assert downsample_labels(TASKS['depth'], depth, 4).isnan().all()


def test_normals_keep_their_three_numbers():
    label = torch.arange(3 * 16).float().view(1, 3, 4, 4)
    assert downsample_labels(TASKS['normals'], label, 4).tolist() == [
        [[[10.0]], [[26.0]], [[42.0]]]
    ]


@pytest.mark.parametrize('name', TASKS)
def test_stride_one_changes_nothing(name):
    label = torch.arange(16).view(1, 4, 4)
    assert torch.equal(downsample_labels(TASKS[name], label, 1), label)
