# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plots of the comparisons: what is in them is read back from the figures."""

from functools import partial

import pytest
from comparison_plots import draw_adaptation, draw_comparison
from comparison_table import Entry
from matplotlib.figure import Figure

from adamtl_ros.tasks import TASKS

ENTRIES = (
    Entry('single', 'single', single_task=True),
    Entry('before', 'before', adaptive=True),
    Entry('ours', 'ours', adaptive=True),
)


def scored(gain, macs, trained, tasks=TASKS):
    """Return scores in which every metric is better by a share than 0.5, or 10 degrees."""
    metrics = {
        name: {TASKS[name].metric: 0.5 * (1 + gain) if TASKS[name].higher_is_better
               else 10 * (1 - gain)}
        for name in tasks
    }  # fmt: skip
    return {
        'metrics': metrics, 'macs': macs, 'infer_ms': 2.0, 'budget': 0.57, 'trained': trained,
        'shares': [0.5, 0.6, 0.7], 'difficulty': [0.1, 0.2, 0.9],
    }  # fmt: skip


@pytest.fixture
def scores():
    single = {f'single_{name}_0': {'1.0': scored(0, 1e6, 100, [name])} for name in TASKS}
    ours = {'1.0': scored(0.1, 4e6, 50), '0.57': scored(0.04, 2e6, 50), 'random': scored(0, 2e6, 0)}
    return {**single, 'before_0': {'1.0': scored(-0.3, 4e6, 0)}, 'ours_0': ours}


@pytest.fixture
def drawn(monkeypatch, tmp_path, scores):
    """Return a function that draws and returns the points of each axes by their labels."""
    figures = []
    save = Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, 'savefig', keep)

    def draw(function):
        function(scores, ENTRIES, tmp_path / 'plot.png')
        assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')
        return [points(axes) for axes in figures[-1].axes]

    return draw


def points(axes):
    handles, labels = axes.get_legend_handles_labels()
    lines = [getattr(handle, 'lines', (handle,))[0] for handle in handles]
    return {
        label: [(pytest.approx(x), pytest.approx(y)) for x, y in line.get_xydata()]
        for label, line in zip(labels, lines, strict=True)
    }


def test_comparison_has_gain_against_macs(drawn):
    gain, _ = drawn(partial(draw_comparison, adaptive='ours', budget=0.57))
    assert gain['single'] == [(6, 0)]
    assert gain['ours'] == [(4, 10), (2, 4)]
    assert gain['random blocks instead'] == [(2, 0)]


def test_adaptation_has_gain_against_what_learned_and_against_macs(drawn):
    learned, macs = drawn(draw_adaptation)
    assert learned['single'] == [(600, 0)]
    assert learned['ours'] == [(50, 10)]
    assert macs['ours'] == [(4, 10), (2, 4)]
    # What never learned has no place on a logarithmic axis.
    assert not any('before' in label for label in learned)
