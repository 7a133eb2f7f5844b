# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparison of two summaries: better, worse, within noise."""

import copy
import itertools
import json
import math

import pytest

from adamtl_ros.commands.main import main
from adamtl_ros.evaluation.bags.compare import (
    Verdict,
    compare,
    comparison_table,
    differences_in_setup,
    missing_results,
    read_summary,
    regressions,
)
from adamtl_ros.evaluation.bags.summary import FORMAT


def entry(value, error, metric='miou', frames=100):
    """Return the scores of a task over 16 stretches, of other frames each time."""
    return {
        'frames': frames, 'values': {metric: value}, 'errors': {metric: error},
        'unit': 'stretch', 'units': 16, 'left_out': {metric: [value] * 16},
        'frames_crc32': next(CHECKSUMS),
    }  # fmt: skip


CHECKSUMS = itertools.count()


def summary(miou=0.5, error=0.01, rmse=1.0, share=0.6, latency=40.0):
    return {
        'format': FORMAT,
        'settings': {'model': {'name': 'm', 'sha256': 'a' * 64}, 'threads': 1, 'classes': {}},
        'machine': {'processor': 'p'},
        'versions': {'torch': '2'},
        'frames': 100,
        'bags': [
            {
                'name': 'b',
                'sha256': 'c',
                'camera': '/c',
                'failure': '',
                'ground_truth': {'semseg': {'from': '/s', 'frames': 100}},
            }
        ],
        'results': [
            {
                'budget': 0.5,
                'share': share,
                'truth': {
                    'semseg': entry(miou, error),
                    'depth': entry(rmse, 0.02, 'rmse'),
                },
                'differs_from_full': {'semseg': {'pixels': 0.1, 'frames': 0.2}},
            }
        ],
        'timing': {
            'results': [{'budget': 0.5, 'latency_ms': {'p50': latency, 'p95': 2 * latency}}]
        },
    }


def verdicts(before, after, **options):
    return {c.name: c.verdict for c in compare(before, after, **options)}


def test_the_same_is_the_same():
    found = compare(summary(), summary(), times=True)
    assert {change.verdict for change in found} == {Verdict.SAME}
    assert regressions(found, 0.0) == []


@pytest.mark.parametrize(
    ('miou', 'verdict'),
    [
        (0.40, Verdict.WORSE),
        # Student's t with 30 degrees of freedom is 2.0423; times sqrt(2) * 0.01 that is 0.02888.
        (0.4711, Verdict.WORSE),
        (0.4712, Verdict.NOISE),
        (0.5288, Verdict.NOISE),
        (0.5289, Verdict.BETTER),
        (None, Verdict.UNKNOWN),
    ],
)
def test_a_change_counts_beyond_its_margin(miou, verdict):
    assert verdicts(summary(), summary(miou=miou))['semseg miou'] is verdict


def test_lower_is_better_for_errors_and_compute():
    found = {
        c.name: c
        for c in compare(summary(), summary(rmse=0.8, share=0.5, latency=50.0), times=True)
    }
    assert found['depth rmse'].verdict is Verdict.BETTER
    assert found['depth rmse'].gain == pytest.approx(0.2)
    assert found['share of the MACs'].verdict is Verdict.BETTER
    assert found['latency p50'].verdict is Verdict.WORSE
    assert found['latency p50'].gain == pytest.approx(-0.25)


def test_without_a_standard_error_every_change_counts():
    assert verdicts(summary(error=None), summary(miou=0.499))['semseg miou'] is Verdict.WORSE


def test_a_regression_is_worse_than_the_threshold():
    changes = compare(summary(), summary(miou=0.45))
    assert [c.name for c in regressions(changes, 0.05)] == ['semseg miou']
    assert regressions(changes, 0.11) == []


def test_what_is_no_longer_evaluated_is_a_regression(tmp_path, capsys):
    before, after = summary(), summary()
    for one in (before, after):
        row = copy.deepcopy(one['results'][0])
        one['results'].append({**row, 'budget': 0.3})
        one['timing']['results'].append({**one['timing']['results'][0], 'budget': 0.3})
    assert missing_results(before, after) == []
    after['results'].pop()
    after['timing']['results'].pop()
    after['frames'] = 90
    after['bags'][0]['failure'] = 'damaged'
    after['results'][0]['truth']['depth']['frames'] = 80
    assert missing_results(before, after) == [
        'budgets that are no longer there: 0.3',
        'fewer frames: 90 of 100',
        'bags that could not be evaluated: b',
        'fewer frames with truth of depth: 80 of 100',
    ]
    files = [write(tmp_path, 'a.json', before), write(tmp_path, 'b.json', after)]
    assert main(['compare', *files]) == 1
    assert 'REGRESSION: fewer frames: 90 of 100' in capsys.readouterr().out


def test_recorded_nodes_are_compared_at_any_mean_budget():
    before, after = summary(), summary(miou=0.3)
    for one, budget in ((before, 0.51), (after, 0.52)):
        one['results'][0] |= {'budget': budget, 'live': True}
    assert verdicts(before, after)['semseg miou'] is Verdict.WORSE


def test_what_is_no_longer_known_is_a_regression():
    after = summary()
    del after['results'][0]['truth']['depth']
    assert [c.name for c in regressions(compare(summary(), after), 0.5)] == ['depth rmse']


def test_without_truth_the_pixels_that_differ_are_compared():
    before, after = summary(), summary()
    before['results'][0]['truth'] = after['results'][0]['truth'] = {}
    after['results'][0]['differs_from_full']['semseg']['pixels'] = 0.2
    found = verdicts(before, after)
    assert found == {
        'share of the MACs': Verdict.SAME,
        'semseg differs from full': Verdict.WORSE,
    }


def test_tasks_without_truth_are_compared_beside_those_with():
    before, after = summary(), summary()
    for one, pixels in ((before, 0.1), (after, 0.3)):
        one['results'][0]['differs_from_full']['edges'] = {'pixels': pixels, 'frames': 1}
    found = verdicts(before, after)
    assert found['edges differs from full'] is Verdict.WORSE
    assert 'semseg differs from full' not in found


def test_other_budgets_cannot_be_compared():
    after = summary()
    after['results'][0]['budget'] = 0.7
    with pytest.raises(ValueError, match=r'nothing to compare: budgets \[0.5\] and \[0.7\]'):
        compare(summary(), after)


def test_differences_in_setup_are_listed():
    after = copy.deepcopy(summary())
    after['bags'][0]['sha256'] = 'd'
    after['settings'] |= {'model': {'name': 'n', 'sha256': ''}, 'threads': 2}
    after['settings']['classes'] = {'semseg': {'3': 'floor'}}
    found = differences_in_setup(summary(), after)
    assert found == [
        'other recordings: b and b',
        'other model: m aaaaaaaa and n',
        'other threads: 1 and 2',
        "other classes: {} and {'semseg': {'3': 'floor'}}",
    ]
    assert differences_in_setup(summary(), summary()) == []


def test_the_table_has_a_line_for_each_number():
    lines = comparison_table(compare(summary(), summary(miou=0.4))).splitlines()
    assert len(lines) == 5
    line = next(line for line in lines if 'semseg miou' in line)
    assert line.split() == [
        '0.5', 'semseg', 'miou', '0.5', '0.4', '-20.0', '%', 'worse', '±0.029', 'independent'
    ]  # fmt: skip
    share = next(line for line in lines if 'share of the MACs' in line)
    assert share.endswith('same')
    assert 'paired: both runs scored the same frames' in lines[-1]


def paired(drop, wobble=0.0, **others):
    """Return two runs over four stretches of which 0.4, 0.5, 0.6 and 0.7 is right in the first.

    The second one is worse by `drop` in each, and by `wobble` more or less in turn.
    """
    right = [0.4, 0.5, 0.6, 0.7]
    worse = [one - drop + wobble * (-1) ** n for n, one in enumerate(right)]
    runs = []
    for shares in (right, worse):
        mean = sum(shares) / 4
        one = summary(mean)
        one['results'][0]['truth']['semseg'] = {
            **entry(mean, math.sqrt(sum((share - mean) ** 2 for share in shares) / 12)),
            'units': 4, 'left_out': {'miou': [(4 * mean - share) / 3 for share in shares]},
            'frames_crc32': 7,
        }  # fmt: skip
        runs.append(one)
    runs[1]['results'][0]['truth']['semseg'] |= others
    return runs


def semseg(before, after):
    return next(c for c in compare(before, after) if c.name == 'semseg miou')


def test_shared_variation_does_not_widen_the_paired_margin():
    """The stretches differ by 0.1 from one to the next, the networks by 0.02 everywhere.

    Each error is sqrt(0.05 / 12) = 0.0645; apart they make 0.0913, and with 6 degrees of freedom
    a margin of 2.447 * 0.0913 = 0.223. In pairs nothing is left of it.
    """
    found = semseg(*paired(0.02))
    assert (found.verdict, found.confidence.paired) == (Verdict.WORSE, True)
    assert found.confidence.error == pytest.approx(0, abs=1e-12)
    apart = semseg(*paired(0.02, frames_crc32=8))
    assert (apart.verdict, apart.confidence.paired) == (Verdict.NOISE, False)
    assert apart.confidence.margin == pytest.approx(2.4469 * math.sqrt(2 * 0.05 / 12), rel=1e-4)


@pytest.mark.parametrize(('drop', 'verdict'), [(0.019, Verdict.WORSE), (0.018, Verdict.NOISE)])
def test_the_margin_of_a_paired_difference_by_hand(drop, verdict):
    """Differences 0.01 up and down: error 0.01 / sqrt(3), times 3.1824 that is 0.018374."""
    found = semseg(*paired(drop, wobble=0.01))
    assert found.confidence.error == pytest.approx(0.01 / math.sqrt(3))
    assert found.confidence.margin == pytest.approx(0.018374, rel=1e-4)
    assert found.verdict is verdict


def _other_bag(summary):
    summary['bags'][0]['sha256'] = 'd'


def _other_camera(summary):
    summary['bags'][0]['camera'] = '/d'


def _other_truth(summary):
    summary['bags'][0]['ground_truth']['semseg']['from'] = '/t'


def _no_truth(summary):
    summary['bags'][0]['ground_truth'] = {}


def _other_unit(summary):
    summary['results'][0]['truth']['semseg']['unit'] = 'recording'


@pytest.mark.parametrize(
    'change', [_other_bag, _other_camera, _other_truth, _no_truth, _other_unit]
)
def test_runs_that_did_not_score_the_same_are_independent(change):
    before, after = paired(0.02)
    change(after)
    assert not semseg(before, after).confidence.paired
    assert not semseg(after, before).confidence.paired
    assert 'independent' in comparison_table(compare(before, after))


def write(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_the_command_tells_a_regression_by_its_exit_status(tmp_path, capsys):
    good = write(tmp_path, 'good.json', summary())
    bad = write(tmp_path, 'bad.json', summary(miou=0.4))
    assert main(['compare', good, good]) == 0
    assert 'REGRESSION' not in capsys.readouterr().out
    assert main(['compare', good, bad]) == 1
    assert 'beyond noise: semseg miou at 0.5' in capsys.readouterr().out
    assert main(['compare', good, bad, '--threshold', '0.3']) == 0
    assert main(['compare', bad, good]) == 0


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'is no metrics.json'),
        ('[1]', 'is no metrics.json'),
        (f'{{"format": {FORMAT}}}', 'lacks bags, frames, machine, results, settings'),
        ('{"format": 99}', f'has format 99, this version reads {FORMAT}'),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / 'metrics.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_summary(path)
