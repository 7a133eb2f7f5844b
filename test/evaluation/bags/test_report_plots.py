# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The plots: what is written on them, and that they show what they were given."""

import re
from base64 import b64decode
from xml.etree import ElementTree

import cv2
import matplotlib as mpl
import numpy as np
import pytest

from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags import report
from adamtl_ros.evaluation.bags.result import BagResult, BudgetResult, Example, FrameCost, UsageMap
from adamtl_ros.evaluation.bags.scores import Scores
from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.gating.plan import OFF, uniform_plan

SECOND = 1_000_000_000


def svg(address):
    """Return the text of an SVG, after a look whether it is one."""
    kind, _, data = address.partition(',')
    assert kind == 'data:image/svg+xml;base64'
    text = b64decode(data).decode()
    assert ElementTree.fromstring(text).tag.endswith('svg')  # noqa: S314  drawn here
    return text


def words(address):
    """Return the texts on a drawing, which matplotlib leaves as comments."""
    return re.findall(r'<!-- (.*?) -->', svg(address))


def quality(value, truth):
    scored = {'frames': 3, 'values': {'miou': value}, 'errors': {'miou': 0.01}}
    depth = {'frames': 3, 'values': {'rmse': value}, 'errors': {'rmse': None}}
    differs = {'pixels': value, 'frames': value}
    return {
        'truth': {'semseg': scored, 'depth': depth} if truth else {},
        'differs_from_full': {'semseg': differs, 'depth': differs, 'edges': differs},
    }


def summed_up(values=(0.8, 0.6), *, truth=True):
    budgets = (1.0, 0.37)
    return {
        'frames': 3,
        'settings': {'tasks': ['semseg', 'depth', 'edges']},
        'results': [
            {'budget': b, 'macs': 1e6 * b, 'blocks': [1.0, b], **quality(value, truth)}
            for b, value in zip(budgets, values, strict=True)
        ],
        'timing': {
            'results': [
                {
                    'budget': b,
                    'latency_ms': {'p50': 10 * b},
                    'histogram_ms': {'edges': [0, 5 * b, 10 * b], 'counts': [1, 2]},
                    'streaming': quality(0.5, truth),
                }
                for b in budgets
            ]
        },
    }


def recording(name, frames, begin=0):
    """Return one that spends all at full budget, and a little more with each frame at 0.37."""
    parts = [
        BudgetResult(b, Scores({}, {}), [], UsageMap(architecture('nano'))) for b in (1.0, 0.37)
    ]
    for index in range(frames):
        for part in parts:
            macs = 100 if part.budget == 1 else 30 + index
            stamp = begin + index * SECOND
            part.costs.append(FrameCost(stamp, macs, 100, 1, 1, 1, 1, 1, 1, float('nan')))
    return BagResult(name, '', IssueLog(), frames=frames, budgets=parts)


def test_metric_with_its_direction():
    assert {'semseg', 'miou ↑', 'million MACs per frame', 'median latency [ms]'} <= set(
        words(report.plot_trade_off(summed_up(), 'semseg'))
    )
    assert 'rmse ↓' in words(report.plot_trade_off(summed_up(), 'depth'))


@pytest.mark.parametrize(('task', 'truth'), [('edges', True), ('semseg', False)])
def test_without_truth_what_differs(task, truth):
    found = words(report.plot_trade_off(summed_up(truth=truth), task))
    assert 'pixels that differ [%] ↓' in found
    assert 'miou ↑' not in found


def test_unknown_is_not_drawn():
    assert words(report.plot_trade_off(summed_up(), 'semseg')).count('0.37') == 2
    assert words(report.plot_trade_off(summed_up((0.8, None)), 'semseg')).count('0.37') == 0


def test_live_and_offline_curves():
    assert {'offline', 'live', 'miou ↑'} <= set(words(report.plot_live(summed_up(), 'semseg')))


def test_same_numbers_same_drawing():
    assert report.plot_live(summed_up(), 'depth') == report.plot_live(summed_up(), 'depth')
    assert report.plot_live(summed_up(), 'depth') != report.plot_live(summed_up((1, 0)), 'depth')


def test_latencies_of_each_budget():
    found = words(report.plot_latency_histogram(summed_up()))
    assert {'budget 1', 'budget 0.37', 'latency [ms]'} <= set(found)


def test_unknown_median_is_not_drawn():
    known, unknown = summed_up(), summed_up()
    unknown['timing']['results'][1]['latency_ms']['p50'] = None
    assert report.plot_latency_histogram(known) != report.plot_latency_histogram(unknown)
    assert words(report.plot_trade_off(unknown, 'semseg')).count('0.37') == 1


def test_share_of_each_block():
    found = words(report.plot_blocks(summed_up()))
    assert found.count('100') == 3
    assert found.count('37') == 1


def test_recordings_one_after_another():
    broken = BagResult('broken', '', IssueLog(), failure='is empty')
    results = [recording('one', 3), broken, recording('two', 4, 10**18)]
    marks = {'hard 1': Example('two', 10**18 + SECOND, 0.31, b''),
             'easy 1': Example('one', 0, 0.3, b'')}  # fmt: skip
    found = words(report.plot_over_time(results, marks))
    assert {'#1', '#3', 'hard 1', 'easy 1', '0.37'} <= set(found)
    assert '#2' not in found
    # 3 s and 4 s, however far apart the clocks were.
    assert '6' in found
    assert '8' not in found


def test_a_single_frame_and_no_marks():
    assert '#1' in words(report.plot_over_time([recording('one', 1)], {}))


def test_usage_maps_share_a_scale():
    totals = [
        BudgetResult(b, Scores({}, {}), [], UsageMap(architecture('nano'))) for b in (1.0, 0.37)
    ]
    totals[0].usage.add(uniform_plan((1, 2, 6, 1)), (64, 64))
    totals[1].usage.add(uniform_plan((1, 2, 6, 1), OFF), (64, 64))
    text = svg(report.plot_usage_maps(totals))
    images = [b64decode(data) for data in re.findall(r'data:image/png;base64,([^"]+)', text)]
    colours = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)[5, 5, ::-1]
               for one in images[:2]]  # fmt: skip
    for colour, value in zip(colours, (1.0, 0.0), strict=True):
        np.testing.assert_allclose(colour, 255 * np.array(mpl.colormaps['viridis'](value)[:3]),
                                   atol=2)  # fmt: skip


def test_main_plot(tmp_path):
    report.write_main_plot(summed_up(), tmp_path / 'new' / 'plot.png')
    report.write_main_plot(summed_up(truth=False), tmp_path / 'plot.png')
    two = cv2.imread(str(tmp_path / 'new' / 'plot.png'))
    three = cv2.imread(str(tmp_path / 'plot.png'))
    # Two tasks with truth fill a row; without any truth all three are drawn.
    assert three.shape[0] == pytest.approx(2 * two.shape[0], abs=2)
    assert three.shape[1] == two.shape[1]


def test_main_plot_of_nothing(tmp_path):
    with pytest.raises(ValueError, match='no frame was evaluated'):
        report.write_main_plot({**summed_up(), 'frames': 0}, tmp_path / 'plot.png')
    assert not list(tmp_path.iterdir())
