# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Two evaluations side by side: what got better or worse, and whether chance explains it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from math import nan
from typing import TYPE_CHECKING, Any

from adamtl_ros.evaluation.bags.confidence import Confidence, paired, welch
from adamtl_ros.evaluation.bags.summary import FORMAT
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from adamtl_ros.evaluation.bags.confidence import Confidence

SAME = 1e-9
"""Relative changes below this are rounding."""
EXPLANATION = (
    'after ±: a smaller change is noise (95 %); paired: both runs scored the same frames, so that '
    'only what differs between them is chance'
)


class Verdict(Enum):
    """What a change is."""

    BETTER = 'better'
    WORSE = 'worse'
    NOISE = 'within noise'
    SAME = 'same'
    UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Delta:
    """One number in two evaluations.

    Attributes:
        budget: Of both.
        what: Name of the number.
        before: In the first one; NaN if it is not there.
        after: In the second one.
        higher_is_better: Direction.
        chance: How far the difference goes by chance; None if nobody knows.

    """

    budget: float
    what: str
    before: float
    after: float
    higher_is_better: bool
    chance: Confidence | None = None

    @property
    def gain(self) -> float:
        """Relative change, positive for better; infinite where there was nothing before."""
        change = self.after - self.before if self.higher_is_better else self.before - self.after
        if change == 0:
            return 0.0
        return change / abs(self.before) if self.before else float('inf') * change

    @property
    def verdict(self) -> Verdict:
        """What it is; where nobody knows how far chance goes, every change counts."""
        change = self.after - self.before
        if change != change:  # noqa: PLR0124  NaN
            return Verdict.UNKNOWN
        if abs(self.gain) < SAME:
            return Verdict.SAME
        if self.chance and abs(change) <= self.chance.margin:
            return Verdict.NOISE
        return Verdict.BETTER if self.gain > 0 else Verdict.WORSE


def regressions(changes: list[Delta], threshold: float) -> list[Delta]:
    """Return what got worse beyond noise by more than a threshold, or is no longer known.

    Args:
        changes: All of them.
        threshold: Relative loss that is allowed, such as 0.01.

    """
    lost = [c for c in changes if c.verdict is Verdict.UNKNOWN and c.before == c.before]
    return lost + [c for c in changes if c.verdict is Verdict.WORSE and -c.gain > threshold]


def comparison_table(changes: Sequence[Delta]) -> str:
    """Return the changes for people, a line each."""
    lines = [f'{"budget":<8}{"":<28}{"before":>10}{"after":>10}{"gain":>9}']
    for c in changes:
        gain = '-' if c.gain != c.gain else f'{100 * c.gain:+.1f} %'
        numbers = f'{c.before:>10.4g}{c.after:>10.4g}{gain:>9}'
        line = f'{c.budget:<8g}{c.what:<28}{numbers}  {c.verdict.value:<14}{_margin(c)}'
        lines.append(line.rstrip())
    return '\n'.join([*lines, EXPLANATION])


def _margin(change: Delta) -> str:
    if change.chance is None:
        return ''
    how = 'paired' if change.chance.paired else 'independent'
    return f'±{change.chance.margin:.2g} {how}'


ENTRIES = ('bags', 'frames', 'machine', 'results', 'settings', 'timing', 'versions')
"""What a whole summary has."""
SAME_FRAMES = ('unit', 'units', 'frames_crc32')
"""Entries of a task that agree where two evaluations scored the same frames in the same units."""


def read_summary(path: Path) -> dict[str, Any]:
    """Read a `metrics.json`.

    Raises:
        ValueError: Not one that this version reads.
        OSError: It cannot be read.

    """
    try:
        summary: dict[str, Any] = dict(json.loads(path.read_text()))
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        raise ValueError(f'{path} is no metrics.json of evaluate-bag: {error}') from error
    if summary.get('format') != FORMAT:
        raise ValueError(f'{path} has format {summary.get("format")}, this version reads {FORMAT}')
    missing = [name for name in ENTRIES if name not in summary]
    if missing:
        raise ValueError(f'{path} is no whole metrics.json: it lacks {", ".join(missing)}')
    return summary


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], *, times: bool = False
) -> list[Delta]:
    """Return how each number changed, budget by budget.

    Values against the truth say how far chance goes. Where both evaluations scored the same
    frames of the same recordings against the same ground truth, it is that of the difference,
    unit by unit; otherwise they are taken for independent.

    Args:
        before: The first summary.
        after: The second one.
        times: Latencies too; they compare only on the same machine, and have no error.

    Raises:
        ValueError: Nothing in common.

    """
    theirs, shared = _by_budget(after), _shared_truth(before, after)
    changes: list[Delta] = []
    for key, (row, clock) in _by_budget(before).items():
        if key in theirs:
            changes += _quality(row['budget'], row, theirs[key][0], shared)
            if times:
                changes += _times(row['budget'], clock, theirs[key][1])
    if not changes:
        budgets = [[row['budget'] for row in one['results']] for one in (before, after)]
        raise ValueError(f'nothing to compare: budgets {budgets[0]} and {budgets[1]}')
    return changes


def differences_in_setup(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what else is not the same, in sentences."""
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


def losses(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what was evaluated before and is no more, in sentences."""
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
    """Return what an evaluation depends on besides its recordings, by what to call it."""
    settings = dict(summary['settings'])
    model = settings.pop('model')
    named = {'model': f'{model["name"]} {model["sha256"][:8]}'.rstrip()}
    return named | settings | {name: summary[name] for name in ('machine', 'versions')}


def _shared_truth(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the tasks whose ground truth is that of the same recordings, in the same order."""
    tasks = {task for bag in before['bags'] for task in bag['ground_truth']}
    return {task for task in tasks if _origins(before, task) == _origins(after, task)}


def _origins(summary: Mapping[str, Any], task: str) -> list[tuple[Any, ...]]:
    return [(b['sha256'], b['camera'], b['ground_truth'].get(task)) for b in summary['bags']]


def _quality(
    budget: float, one: Mapping[str, Any], other: Mapping[str, Any], shared: set[str]
) -> Iterator[Delta]:
    yield Delta(budget, 'share of the MACs', _number(one['share']), _number(other['share']),
                 higher_is_better=False)  # fmt: skip
    for task, entry in one['truth'].items():
        metric, theirs = TASKS[task].metric, other['truth'].get(task)
        yield Delta(
            budget,
            f'{task} {metric}',
            _number(entry['values'][metric]),
            _number(theirs['values'][metric]) if theirs else nan,
            TASKS[task].higher_is_better,
            _chance(metric, entry, theirs, shared=task in shared) if theirs else None,
        )
    for task, entry in one['differs_from_full'].items():
        if task not in one['truth'] and entry['pixels'] is not None:
            theirs = other['differs_from_full'].get(task, {})
            pair = _number(entry['pixels']), _number(theirs.get('pixels'))
            yield Delta(budget, f'{task} differs from full', *pair, higher_is_better=False)


def _chance(
    metric: str, entry: Mapping[str, Any], theirs: Mapping[str, Any], *, shared: bool
) -> Confidence | None:
    """Return the chance in a difference; None if one of the values has no standard error."""
    first, second = entry['errors'][metric], theirs['errors'][metric]
    if first is None or second is None:
        return None
    if shared and all(entry[name] == theirs[name] for name in SAME_FRAMES):
        return paired(entry['left_out'][metric], theirs['left_out'][metric])
    return welch((first, second), (entry['units'], theirs['units']))


def _by_budget(summary: Mapping[str, Any]) -> dict[float | str, tuple[Any, Any]]:
    """Return results and times by budget; a live node had budgets of its own."""
    pairs = zip(summary['results'], summary['timing']['results'], strict=True)
    return {'live' if pair[0].get('live') else pair[0]['budget']: pair for pair in pairs}


def _times(budget: float, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Delta]:
    for name in ('p50', 'p95'):
        pair = _number(one['latency_ms'][name]), _number(other['latency_ms'][name])
        yield Delta(budget, f'latency {name}', *pair, higher_is_better=False)


def _number(value: float | None) -> float:
    return nan if value is None else value
