# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparison of two evaluations: changes of each number, and whether they exceed noise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from adamtl_ros.evaluation.bags.confidence import paired, welch
from adamtl_ros.evaluation.bags.summary import FORMAT
from adamtl_ros.files import file_problem
from adamtl_ros.tasks import TASKS
from adamtl_ros.text import one_line, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from adamtl_ros.evaluation.bags.confidence import Confidence

SAME = 1e-9
"""Relative changes below this are rounding errors."""
EXPLANATION = (
    'after ±: a smaller change is noise (95 %); paired: both runs scored the same frames, so that '
    'only their difference varies'
)


class Verdict(Enum):
    """Judgement of a change."""

    BETTER = 'better'
    WORSE = 'worse'
    NOISE = 'within noise'
    SAME = 'same'
    UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Delta:
    """Change of one number between two evaluations.

    Attributes:
        budget: Budget of both values.
        name: Name of the number.
        before: Value in the first evaluation; NaN if missing.
        after: Value in the second evaluation; NaN if missing.
        higher_is_better: Whether an increase is an improvement.
        confidence: Uncertainty of the difference; None if not known.

    """

    budget: float
    name: str
    before: float
    after: float
    higher_is_better: bool
    confidence: Confidence | None = None

    @property
    def gain(self) -> float:
        """Relative change, positive for better; infinite for a change from 0."""
        change = self.after - self.before if self.higher_is_better else self.before - self.after
        if change == 0:
            return 0.0
        return change / abs(self.before) if self.before else float('inf') * change

    @property
    def verdict(self) -> Verdict:
        """Judgement of the change; without a known confidence every change counts."""
        change = self.after - self.before
        if isnan(change):
            return Verdict.UNKNOWN
        if abs(self.gain) < SAME:
            return Verdict.SAME
        if self.confidence and abs(change) <= self.confidence.margin:
            return Verdict.NOISE
        return Verdict.BETTER if self.gain > 0 else Verdict.WORSE


def regressions(changes: list[Delta], threshold: float) -> list[Delta]:
    """Return the changes for the worse beyond noise and a threshold, and values that are missing.

    Args:
        changes: All changes.
        threshold: Allowed relative loss, such as 0.01.

    """
    lost = [c for c in changes if c.verdict is Verdict.UNKNOWN and not isnan(c.before)]
    return lost + [c for c in changes if c.verdict is Verdict.WORSE and -c.gain > threshold]


def comparison_table(changes: Sequence[Delta]) -> str:
    """Return a human-readable table with a line for each change."""
    lines = [f'{"budget":<8}{"":<28}{"before":>10}{"after":>10}{"gain":>9}']
    for c in changes:
        gain = '-' if isnan(c.gain) else f'{100 * c.gain:+.1f} %'
        numbers = f'{c.before:>10.4g}{c.after:>10.4g}{gain:>9}'
        line = f'{c.budget:<8g}{c.name:<28}{numbers}  {c.verdict.value:<14}{_margin(c)}'
        lines.append(line.rstrip())
    return '\n'.join([*lines, EXPLANATION])


def _margin(change: Delta) -> str:
    if change.confidence is None:
        return ''
    how = 'paired' if change.confidence.paired else 'independent'
    return f'±{change.confidence.margin:.2g} {how}'


ENTRIES = ('bags', 'frames', 'machine', 'results', 'settings', 'timing', 'versions')
"""Required entries of a summary."""
SAME_FRAMES = ('unit', 'units', 'frames_crc32')
"""Entries of a task that are equal if two evaluations scored the same frames and units."""


def read_summary(path: Path) -> dict[str, Any]:
    """Read a `metrics.json`.

    Raises:
        ValueError: The file is not a summary, or has a format that this version cannot read.
        OSError: The file cannot be read.

    """
    if problem := file_problem(path):
        raise FileNotFoundError(f'{path}: {problem}')
    try:
        summary: dict[str, Any] = dict(json.loads(path.read_text(), parse_constant=_not_finite))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f'{path} is no metrics.json of evaluate-bag: {one_line(error)}') from error
    if summary.get('format') != FORMAT:
        found = quote(summary.get('format'))
        raise ValueError(f'{path} has format {found}, this version reads {FORMAT}')
    missing = [name for name in ENTRIES if name not in summary]
    if missing:
        raise ValueError(f'{path} is no whole metrics.json: it lacks {", ".join(missing)}')
    return summary


def _not_finite(text: str) -> float:
    raise ValueError(f'{text} is no number that evaluate-bag writes')


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], *, times: bool = False
) -> list[Delta]:
    """Return the changes of all numbers, budget by budget.

    Metrics against ground truth have a confidence. It is paired if both evaluations scored the
    same frames of the same recordings against the same ground truth; otherwise the values count
    as independent.

    Args:
        before: First summary.
        after: Second summary.
        times: Whether to compare latencies too; only meaningful on the same machine.

    Raises:
        ValueError: The summaries have no number in common.

    """
    others, shared = _by_budget(after), _shared_truth(before, after)
    changes: list[Delta] = []
    for key, (row, clock) in _by_budget(before).items():
        if key in others:
            changes += _quality(row['budget'], row, others[key][0], shared)
            if times:
                changes += _times(row['budget'], clock, others[key][1])
    if not changes:
        budgets = [[row['budget'] for row in one['results']] for one in (before, after)]
        raise ValueError(f'nothing to compare: budgets {budgets[0]} and {budgets[1]}')
    return changes


def differences_in_setup(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return sentences on settings, recordings, machine and versions that differ."""
    found = []
    bags = [[(bag['name'], bag['sha256']) for bag in one['bags']] for one in (before, after)]
    if bags[0] != bags[1]:
        names = [', '.join(name for name, _ in some) for some in bags]
        found.append(f'other recordings: {names[0]} and {names[1]}')
    settings = [_settings(one) for one in (before, after)]
    found += [
        f'other {name}: {one} and {settings[1].get(name)}'
        for name, one in settings[0].items()
        if one != settings[1].get(name)
    ]
    return found


def missing_results(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return sentences on what was evaluated before and is missing now."""
    gone = [f'{key}' for key in _by_budget(before) if key not in _by_budget(after)]
    found = [f'budgets that are no longer there: {", ".join(gone)}'] if gone else []
    if after['frames'] < before['frames']:
        found.append(f'fewer frames: {after["frames"]} of {before["frames"]}')
    failed = [bag['name'] for bag in after['bags'] if bag['failure']]
    failed_before = [bag['name'] for bag in before['bags'] if bag['failure']]
    if len(failed) > len(failed_before):
        found.append(f'bags that could not be evaluated: {", ".join(failed)}')
    for row, other in zip(before['results'][:1], after['results'][:1], strict=False):
        for task, entry in row['truth'].items():
            count = other['truth'].get(task, {'frames': 0})['frames']
            if count < entry['frames']:
                found.append(f'fewer frames with truth of {task}: {count} of {entry["frames"]}')
    return found


def _settings(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return by name everything that results depend on besides the recordings."""
    settings = dict(summary['settings'])
    model = settings.pop('model')
    named = {'model': f'{model["name"]} {model["sha256"][:8]}'.rstrip()}
    return named | settings | {name: summary[name] for name in ('machine', 'versions')}


def _shared_truth(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the tasks with ground truth from the same recordings in the same order."""
    tasks = {task for bag in before['bags'] for task in bag['ground_truth']}
    return {task for task in tasks if _origins(before, task) == _origins(after, task)}


def _origins(summary: Mapping[str, Any], task: str) -> list[tuple[Any, ...]]:
    return [(b['sha256'], b['camera'], b['ground_truth'].get(task)) for b in summary['bags']]


def _quality(
    budget: float, one: Mapping[str, Any], other: Mapping[str, Any], shared: set[str]
) -> Iterator[Delta]:
    shares = _number(one['share']), _number(other['share'])
    yield Delta(budget, 'share of the MACs', *shares, higher_is_better=False)
    for task, entry in one['truth'].items():
        metric, theirs = TASKS[task].metric, other['truth'].get(task)
        yield Delta(
            budget,
            f'{task} {metric}',
            _number(entry['values'][metric]),
            _number(theirs['values'][metric]) if theirs else nan,
            TASKS[task].higher_is_better,
            _confidence(metric, entry, theirs, shared=task in shared) if theirs else None,
        )
    for task, entry in one['differs_from_full'].items():
        if task not in one['truth'] and entry['pixels'] is not None:
            theirs = other['differs_from_full'].get(task, {})
            pair = _number(entry['pixels']), _number(theirs.get('pixels'))
            yield Delta(budget, f'{task} differs from full', *pair, higher_is_better=False)


def _confidence(
    metric: str, entry: Mapping[str, Any], theirs: Mapping[str, Any], *, shared: bool
) -> Confidence | None:
    """Return the confidence of a difference; None if a value has no standard error."""
    first, second = entry['errors'][metric], theirs['errors'][metric]
    if first is None or second is None:
        return None
    if shared and all(entry[name] == theirs[name] for name in SAME_FRAMES):
        return paired(entry['left_out'][metric], theirs['left_out'][metric])
    return welch((first, second), (entry['units'], theirs['units']))


def _by_budget(summary: Mapping[str, Any]) -> dict[float | str, tuple[Any, Any]]:
    """Return results and times by budget; those of a recorded node have the key 'live'."""
    pairs = zip(summary['results'], summary['timing']['results'], strict=True)
    return {'live' if pair[0].get('live') else pair[0]['budget']: pair for pair in pairs}


def _times(budget: float, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Delta]:
    for name in ('p50', 'p95'):
        pair = _number(one['latency_ms'][name]), _number(other['latency_ms'][name])
        yield Delta(budget, f'latency {name}', *pair, higher_is_better=False)


def _number(value: float | None) -> float:
    return nan if value is None else value
