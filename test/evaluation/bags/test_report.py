# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""HTML report: complete, and without external resources."""

from base64 import b64encode
from copy import deepcopy
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags import report as plots
from adamtl_ros.evaluation.bags.report import UNKNOWN, number, percent, plus_minus, write_report
from adamtl_ros.evaluation.bags.result import (
    BagResult,
    BudgetResult,
    EvaluationSettings,
    Example,
    FrameCost,
    Streaming,
    UsageMap,
)
from adamtl_ros.evaluation.bags.scores import Scorer, Scores
from adamtl_ros.evaluation.bags.summary import build_summary
from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.tasks import TASKS

BUDGETS = (1.0, 0.37)
TASK = {'semseg': TASKS['semseg'].with_classes(['floor', 'wall'])}
SETTINGS = EvaluationSettings(model='random', budgets=BUDGETS, shown=0.37)
SECOND = 1_000_000_000
NO_BREAK_SPACE = '\N{NO-BREAK SPACE}'


class Page(HTMLParser):
    """A page as its addresses, elements, text and rows of tables."""

    def __init__(self, html):
        super().__init__()
        self.html, self.elements, self.addresses, self.rows, self.texts = html, [], [], [], []
        self._cell = False
        self.feed(html)

    @property
    def text(self):
        """All that one reads, with single spaces."""
        return ' '.join(' '.join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        """Note its addresses, and begin a row or a cell."""
        self.elements.append(tag)
        self.addresses += [value for key, value in attrs if key in ('src', 'href', 'srcset')]
        if tag == 'tr':
            self.rows.append([])
        if tag in ('th', 'td'):
            self.rows[-1].append('')
            self._cell = True

    def handle_endtag(self, tag):
        """End a cell."""
        self._cell = self._cell and tag not in ('th', 'td')

    def handle_data(self, data):
        """Take text."""
        self.texts.append(data)
        if self._cell:
            self.rows[-1][-1] += data.strip().replace(NO_BREAK_SPACE, ' ')


def cost(stamp, share=1.0, energy=float('nan')):
    return FrameCost(stamp, int(1e6 * share), 1_000_000, 10, 100, 1.0, 2.0, 30.0, 4.0, energy)


def budget_result(budget, frames, *, truth, live):
    """Return what a network gave that is right on all but the last column of 8."""
    streaming = Streaming(Scores(TASK, {}), dropped=7, blind=1, ages_ms=[41.0]) if live else None
    part = BudgetResult(budget, Scores(TASK, truth), [], UsageMap(architecture('nano')), streaming)
    scorer = Scorer(part.scores)
    result = np.zeros((8, 32), np.uint8)
    result[:, -4:] = 1
    label = {name: np.zeros((8, 32), np.uint8) for name in truth}
    for index in range(frames):
        scorer.add(index / frames, {'semseg': result}, {'semseg': result[::4, ::4] * 0}, label)
        part.costs.append(cost(SECOND * index, budget))
        part.usage.add(uniform_plan((1, 2, 6, 1)), (64, 64))
    return part


def evaluated(name='walk', frames=2, *, truth=TASK, live=False, examples=()):
    parts = [budget_result(budget, frames, truth=truth, live=live) for budget in BUDGETS]
    return BagResult(
        name, 'abcdef0123456789' * 4, IssueLog(), '/camera', frames, frames,
        dict.fromkeys(truth, '/labels'), dict.fromkeys(truth, frames), '', parts, list(examples),
    )  # fmt: skip


def failed(name='broken', failure='cannot be read'):
    return BagResult(name, '', IssueLog(), failure=failure)


def page(folder, *results, change=lambda summary: None):
    """Return the page of some recordings, after a change to the summary."""
    summary = deepcopy(build_summary(results, SETTINGS, TASK, 2.0))
    change(summary)
    write_report(summary, results, TASK, folder / 'new' / 'report.html')
    return Page((folder / 'new' / 'report.html').read_text())


@pytest.fixture(scope='module')
def usual(tmp_path_factory):
    """Return a page with all there can be, and the results it is of."""
    examples = [
        Example('walk', 0, 0.91, b'JPEG of the dearest'),
        Example('walk', 3 * SECOND, 0.5, b'JPEG of neither'),
        Example('walk', 6 * SECOND, 0.11, b'JPEG of the cheapest'),
    ]
    more = [Example('run', 0, 0.8, b'dear as well'), Example('run', 2 * SECOND, 0.2, b'and cheap')]
    walk = evaluated(live=True, examples=examples)
    walk.issues.add('<script>alert("odd")</script>', 'image 3 & 4')
    walk.issues.add('late', 'the first of two')
    walk.issues.add('late', 'the second of two')
    results = [walk, failed(failure='no <b>camera</b>'), evaluated('run', 3, live=True,
                                                                  examples=more)]  # fmt: skip
    shown = page(tmp_path_factory.mktemp('usual'), *results)
    return SimpleNamespace(page=shown, results=results)


@pytest.fixture(autouse=True)
def _plain_plots(usual, monkeypatch):
    """Leave the drawing out of all pages but the usual one, which is there by now."""
    monkeypatch.setattr(plots, '_svg', lambda *_: 'data:image/svg+xml,none')


def test_needs_nothing_but_itself(usual):
    assert len([one for one in usual.page.addresses if one.startswith('data:image/')]) > 5
    assert all(one.startswith(('data:', '#')) for one in usual.page.addresses)
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'base'} & set(usual.page.elements)
    assert '@import' not in usual.page.html
    assert 'url(' not in usual.page.html


def test_notes_and_failures_come_first_and_are_only_text(usual):
    top = usual.page.text[: usual.page.text.index('SHA-256')]
    assert 'walk : <script>alert("odd")</script>: image 3 & 4' in top
    assert 'late (2x): the first of two' in top
    assert '1 of 3 recordings could not be evaluated' in top
    assert 'broken : no <b>camera</b>' in top
    assert '<b>' not in usual.page.html


def test_recordings(usual):
    rows = {row[1]: row for row in usual.page.rows if len(row) == 6}
    assert rows['walk'][2:] == ['/camera', '2 of 2', 'semseg: /labels,2 frames', 'abcdef012345']
    assert rows['brokenfailed'][2:] == [UNKNOWN, '0 of 0', 'none', UNKNOWN]


def test_numbers_of_the_summary(usual):
    lines = [row for row in usual.page.rows if row[0] == '0.37']
    # 28 of 32 pixels of the floor, none of the wall: IoU 7/8 and 0, and no frame says otherwise.
    assert ['0.37', '37.0 %', '0.4', '37.0', '37.0', '0.4375 ± 0.0000'] in lines
    every = ['0.4375 ± 0.0000', '0.8750 ± 0.0000', '5', '12.5 %', '100.0 %', '0.0 %', '0.0 %']
    assert ['0.37', *every] in lines
    assert ['0.37', *['30.0'] * 7] in lines


def test_numbers_are_not_reckoned_anew(tmp_path):
    def change(summary):
        summary['results'][1]['truth']['semseg']['values']['miou'] = 0.12344
        summary['timing']['results'][1]['latency_ms']['p99'] = 4321.0

    text = page(tmp_path, evaluated(), change=change).text
    assert '0.1234 ± ' in text
    assert '4321.0' in text


def test_unknown_is_a_dash(tmp_path):
    def change(summary):
        row = summary['results'][1]
        row['macs'] = row['share'] = row['flips']['semseg']['pixels'] = None
        row['truth']['semseg']['values']['miou'] = None
        row['truth']['semseg']['errors'] = {}
        summary['timing']['results'][1]['latency_ms'] = {
            f'p{p}': None for p in (5, 25, 50, 75, 90, 95, 99)
        }

    lines = [r for r in page(tmp_path, evaluated(), change=change).rows if r[0] == '0.37']
    assert ['0.37', *[UNKNOWN] * 4, f'{UNKNOWN} ± {UNKNOWN}'] in lines
    assert ['0.37', *[UNKNOWN] * 7] in lines
    assert any(row[-2:] == [UNKNOWN, '0.0 %'] for row in lines)


def test_unknown_numbers():
    assert [number(None), number(float('nan')), number(0.0)] == [UNKNOWN, UNKNOWN, '0.0']
    assert [percent(None), percent(float('nan')), percent(0.123)] == [UNKNOWN, UNKNOWN, '12.3 %']
    scored = {'values': {'miou': 0.5, 'mean_angle': 12.345}, 'errors': {'miou': None}}
    assert plus_minus(scored, 'miou') == f'0.5000 ±{NO_BREAK_SPACE}{UNKNOWN}'
    assert plus_minus(scored, 'mean_angle') == f'12.35 ±{NO_BREAK_SPACE}{UNKNOWN}'


def test_hardest_and_easiest_of_all_recordings(usual):
    places = [usual.page.html.find(b64encode(one.picture).decode())
              for one in (usual.results[0].examples + usual.results[2].examples)]  # fmt: skip
    dearest, neither, cheapest, dear, cheap = places
    assert neither == -1
    assert 0 < dearest < dear < cheapest < cheap
    assert 'hard 1 : 91.0 % of the full MACs, walk at 0.00 s' in usual.page.text
    assert 'easy 2 : 20.0 % of the full MACs, run at 2.00 s' in usual.page.text


def test_live_node(usual, tmp_path):
    assert ['0.37', '14', '2', '2', '41.0', '41.0', '41.0'] in usual.page.rows
    # Nothing is known of it against the truth, which must not look like the offline value.
    assert ['0.37', '0.4375 ± 0.0000', UNKNOWN] in usual.page.rows
    assert 'Not emulated in this run' in page(tmp_path, evaluated()).text


def test_energy(usual, tmp_path):
    assert 'Energy cannot be measured on this machine' in usual.page.text
    measured = evaluated()
    for part, joules in zip(measured.budgets, (2.5, 1.25), strict=True):
        part.costs = [cost(one.stamp, one.mac_fraction, joules) for one in part.costs]
    shown = page(tmp_path, measured)
    assert ['0.37', '1.250'] in shown.rows
    assert 'Energy cannot be measured' not in shown.text


def test_without_truth_the_pixels_that_differ(tmp_path):
    shown = page(tmp_path, evaluated(truth={}))
    assert 'No ground truth for this task' in shown.text
    assert 'miou' not in shown.text
    assert ['0.37', '37.0 %', '0.4', '37.0', '37.0', '12.5 %'] in shown.rows
    assert 'without a warning' in shown.text


def test_more_spent_than_asked_for(tmp_path):
    floor = evaluated()
    floor.budgets[1].costs = [cost(one.stamp, 0.5) for one in floor.budgets[1].costs]
    assert '<td class="short">50.0 %</td>' in page(tmp_path, floor).html
    assert 'class="short"' not in page(tmp_path, evaluated()).html


def test_nothing_evaluated(tmp_path):
    shown = page(tmp_path, failed(), failed('worse', 'is empty'))
    assert '2 of 2 recordings could not be evaluated' in shown.text
    assert 'worse : is empty' in shown.text
    assert 'Nothing was evaluated' in shown.text
    assert 'img' not in shown.elements
    assert 'Machine and versions' in shown.text


def test_what_computed(usual):
    assert 'random, SHA-256 — (no file: seeded random weights)' in usual.page.text
    assert '2.0 s, 2.50 frames/s with 2 budgets each' in usual.page.text
    assert f'numpy {np.__version__}' in usual.page.text


def test_the_overview_wraps_standard_errors_in_narrow_windows(usual):
    """The six tasks need 1003 pixels, and 1253 without wrapping."""
    assert '.overview td.quality { white-space: normal; }' in usual.page.html
    assert f'<td class="quality">0.4375 ±{NO_BREAK_SPACE}0.0000</td>' in usual.page.html
