# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Calibration: what budgets spend on average, and that more is never less."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from helpers import small

from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.gating.calibration import BUDGETS, PER_FRAME, Calibration, Level
from adamtl_ros.tasks import TASKS

SOME = {name: TASKS[name] for name in ('normals', 'depth')}


def images(count, seed):
    """Images of very different contrast, so that their scores differ."""
    generator = torch.Generator().manual_seed(seed)
    contrast = torch.rand(count, 1, 1, 1, generator=generator) * 3
    return torch.randn(count, 3, 64, 64, generator=generator) * contrast


@pytest.fixture(scope='module', params=[('blocks',), ('blocks', 'windows'), ('windows',)])
def network(request):
    made = small.network(request.param, SOME)
    made.calibration = calibrate(made, images(120, 0).split(50))
    return made


def spent(network, budget, tasks, batch):
    with torch.inference_mode():
        return [cost.fraction for cost in network(batch, budget, tasks).costs]


@pytest.mark.parametrize('tasks', [['normals'], ['depth'], ['normals', 'depth']])
def test_budgets_hold_on_average_and_on_every_image(network, tasks):
    batch = images(120, 0)
    floor = network.budget_model((64, 64), tasks)
    means = []
    for budget in (0.3, 0.5, 0.62, 0.75, 0.9, 1.0):
        shares = spent(network, budget, tasks, batch)
        means.append(sum(shares) / len(shares))
        least = floor.floor / floor.full
        assert means[-1] <= max(budget, least) + 1e-9
        assert max(shares) <= max(min(budget + PER_FRAME, 1), least) + 1e-9
    assert all(low <= high for low, high in pairwise(means))


def test_fitted_share_is_the_spent_one(network):
    """The table's numbers are those of the network itself.

    Scores of a batch of another size may round otherwise and open another window of an image.
    """
    for tasks, levels in network.calibration.levels.items():
        assert levels[-1].budget == BUDGETS[-1], tasks
        for level in levels:
            shares = spent(network, level.budget, tasks.split(','), images(120, 0))
            assert sum(shares) / len(shares) == pytest.approx(level.fraction, abs=1e-3)
        assert all(a.fraction <= b.fraction for a, b in pairwise(levels))


def test_at_another_size_no_image_goes_above_its_budget():
    made = small.network(('blocks', 'windows'), SOME)
    made.calibration = calibrate(made, [images(60, 1)])
    other = images(20, 2)[..., :48]
    assert max(spent(made, 0.6, SOME, images(60, 1))) > 0.6
    assert max(spent(made, 0.6, SOME, other)) <= 0.6


def test_budgets_hold_on_other_images_of_the_kind():
    made = small.network(('blocks', 'windows'), SOME)
    made.calibration = calibrate(made, [images(400, 1)])
    shares = spent(made, 0.6, SOME, images(400, 2))
    assert 0.4 < sum(shares) / len(shares) <= 0.6
    assert max(shares) - min(shares) > 0.1  # some images get more than others


def test_calibration_leaves_the_network_alone():
    made = small.network(('blocks',), SOME)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    one, other = (calibrate(made, [images(20, 3)]) for _ in range(2))
    assert made.calibration is None
    assert one == other
    assert all(torch.equal(before[key], value) for key, value in made.state_dict().items())


def test_combinations():
    made = small.network(('blocks',), SOME)
    batch = images(8, 0)
    assert list(calibrate(made, [batch], [0.5]).levels) == ['normals', 'depth', 'normals,depth']
    some = calibrate(made, [batch], [0.5], [('depth',)])
    assert list(some.levels) == ['depth']
    # A combination that was not calibrated is kept within its budget image by image.
    made.calibration = some
    assert max(spent(made, 0.5, ['normals'], batch)) <= 0.5


def test_level_lookup():
    levels = (Level(0.25, 2.0, 0.2), Level(0.5, 1.0, 0.45))
    table = Calibration((64, 64), 10, {'depth': levels})
    assert table.level(['depth'], 0.2) is None
    assert table.level(['depth'], 0.25) == levels[0]
    assert table.level(['depth'], 0.49) == levels[0]
    assert table.level(['depth'], 0.99) == levels[1]
    assert table.level(['normals'], 0.99) is None
    assert table.covers(['depth'])
    assert not table.covers(['depth', 'normals'])


def test_below_the_lowest_level_nothing_runs():
    made = small.network(('blocks',), SOME)
    levels = {'normals,depth': (Level(0.5, 0.0, 0.5),)}
    made.calibration = Calibration((64, 64), 1, levels)
    with torch.inference_mode():
        cost = made(images(1, 0), 0.45).costs[0]
    assert cost.blocks_run == 0
    assert cost.macs == made.budget_model((64, 64)).floor
    assert not cost.floor


def test_round_trip_through_json():
    made = small.network(('blocks',), SOME)
    table = calibrate(made, [images(8, 0)])
    assert Calibration.from_dict(json.loads(json.dumps(table.to_dict()))) == table


def test_refused_tables():
    table = Calibration((64, 64), 1, {'depth': (Level(0.5, 0.0, 0.5), Level(0.75, 0.0, 0.6))})
    good = table.to_dict()
    with pytest.raises(ValueError, match='not a calibration of this version'):
        Calibration.from_dict({**good, 'size': [64]})
    with pytest.raises(ValueError, match='not a calibration of this version'):
        Calibration.from_dict({**good, 'levels': {'depth': [[0.5, 1.0]]}})
    backwards = replace(table, levels={'depth': table.levels['depth'][::-1]})
    with pytest.raises(ValueError, match='levels of a calibration must ascend'):
        Calibration.from_dict(backwards.to_dict())


def test_images_that_cannot_calibrate():
    made = small.network(('blocks',), SOME)
    with pytest.raises(ValueError, match='needs at least two images, all of one size, got 0'):
        calibrate(made, [])
    with pytest.raises(ValueError, match='got 1 of sizes'):
        calibrate(made, [torch.zeros(1, 3, 64, 64)])
    with pytest.raises(ValueError, match=r'got 2 of sizes .*32, 64.*64, 64'):
        calibrate(made, [torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 32, 64)])
