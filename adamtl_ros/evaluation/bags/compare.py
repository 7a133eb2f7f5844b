# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Two evaluations side by side: what got better or worse, and whether chance explains it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from math import hypot, nan
from typing import TYPE_CHECKING, Any

from adamtl_ros.evaluation.bags.summary import FORMAT
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SIGMAS = 2.0
"""A change below so many standard errors is noise."""

SAME = 1e-9
"""Relative changes below this are rounding."""


ENTRIES = ('bags', 'frames', 'machine', 'model', 'results', 'threads', 'timing', 'versions')
"""What a whole summary has."""


class Verdict(Enum):
    """What a change is."""

    BETTER = 'better'
    WORSE = 'worse'
    NOISE = 'within noise'
    SAME = 'same'
    UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Change:
    """One number in two evaluations.

    Attributes:
        budget: Of both.
        what: Name of the number.
        before: In the first one; NaN if it is not there.
        after: In the second one.
        error: Standard error of the difference; 0 if it is not known, so that every change counts.
        higher_is_better: Direction.

    """

    budget: float
    what: str
    before: float
    after: float
    error: float
    higher_is_better: bool

    @property
    def gain(self) -> float:
        """Relative change, positive for better; infinite where there was nothing before."""
        change = self.after - self.before if self.higher_is_better else self.before - self.after
        if change == 0:
            return 0.0
        return change / abs(self.before) if self.before else float('inf') * change

    @property
    def verdict(self) -> Verdict:
        """What it is; without a standard error every change counts."""
        change = self.after - self.before
        if change != change:  # noqa: PLR0124  NaN
            return Verdict.UNKNOWN
        if abs(self.gain) < SAME:
            return Verdict.SAME
        if abs(change) <= SIGMAS * self.error:
            return Verdict.NOISE
        return Verdict.BETTER if self.gain > 0 else Verdict.WORSE


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
) -> list[Change]:
    """Return how each number changed, budget by budget.

    Values against the truth have standard errors. Both evaluations are taken for independent,
    although the same recordings make chance smaller: what counts as a change is one.

    Args:
        before: The first summary.
        after: The second one.
        times: Latencies too; they compare only on the same machine, and have no error.

    Raises:
        ValueError: Nothing in common.

    """
    theirs = _by_budget(after)
    changes: list[Change] = []
    for key, (row, clock) in _by_budget(before).items():
        if key in theirs:
            changes += _quality(row['budget'], row, theirs[key][0])
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
    if before['model'] != after['model']:
        names = [f'{m["name"]} {m["sha256"][:8]}' for m in (before['model'], after['model'])]
        found.append(f'other models: {names[0]} and {names[1]}')
    found += [
        f'other {name}: {before[name]} and {after[name]}'
        for name in ('machine', 'versions', 'threads')
        if before[name] != after[name]
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


def regressions(changes: list[Change], threshold: float) -> list[Change]:
    """Return what got worse beyond noise by more than a threshold, or is no longer known.

    Args:
        changes: All of them.
        threshold: Relative loss that is allowed, such as 0.01.

    """
    lost = [c for c in changes if c.verdict is Verdict.UNKNOWN and c.before == c.before]
    return lost + [c for c in changes if c.verdict is Verdict.WORSE and -c.gain > threshold]


def _quality(budget: float, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Change]:
    yield Change(budget, 'share of the MACs', _number(one['share']), _number(other['share']), 0.0,
                 higher_is_better=False)  # fmt: skip
    for task, entry in one['truth'].items():
        metric = TASKS[task].metric
        theirs = other['truth'].get(task, {'values': {}, 'errors': {}})
        errors = [_number(found['errors'].get(metric)) for found in (entry, theirs)]
        yield Change(
            budget,
            f'{task} {metric}',
            _number(entry['values'][metric]),
            _number(theirs['values'].get(metric)),
            hypot(*errors) if all(e == e for e in errors) else 0.0,  # noqa: PLR0124
            TASKS[task].higher_is_better,
        )
    for task, entry in one['differs_from_full'].items():
        if task not in one['truth'] and entry['pixels'] is not None:
            theirs = other['differs_from_full'].get(task, {})
            pair = _number(entry['pixels']), _number(theirs.get('pixels'))
            yield Change(budget, f'{task} differs from full', *pair, 0.0, higher_is_better=False)


def _by_budget(summary: Mapping[str, Any]) -> dict[float | str, tuple[Any, Any]]:
    """Return results and times by budget; a live node had budgets of its own."""
    pairs = zip(summary['results'], summary['timing']['results'], strict=True)
    return {'live' if pair[0].get('live') else pair[0]['budget']: pair for pair in pairs}


def _times(budget: float, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Change]:
    for name in ('p50', 'p95'):
        pair = _number(one['latency_ms'][name]), _number(other['latency_ms'][name])
        yield Change(budget, f'latency {name}', *pair, 0.0, higher_is_better=False)


def _number(value: float | None) -> float:
    return nan if value is None else value


def comparison_table(changes: list[Change]) -> str:
    """Return the changes for people, a line each."""
    lines = [f'{"budget":<8}{"":<28}{"before":>10}{"after":>10}{"gain":>9}']
    for c in changes:
        gain = '-' if c.gain != c.gain else f'{100 * c.gain:+.1f} %'
        numbers = f'{c.before:>10.4g}{c.after:>10.4g}{gain:>9}'
        lines.append(f'{c.budget:<8g}{c.what:<28}{numbers}  {c.verdict.value}')
    return '\n'.join(lines)
