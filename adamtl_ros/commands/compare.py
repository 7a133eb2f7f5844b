# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl compare`: regressions between two evaluations of bags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.text import one_line, reason

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add = parser.add_argument
    add('before', type=Path, help='metrics.json of the earlier evaluation')
    add('after', type=Path, help='metrics.json of the later evaluation')
    add('--threshold', type=float, default=0.01, help='relative loss that is allowed (0.01)')
    add('--times', action='store_true', help='compare latencies too: same machine only')


def run(options: argparse.Namespace) -> int:
    """Print the comparison.

    Returns:
        1 if something got worse or is missing, else 0.

    Raises:
        ValueError: A negative threshold, or files that cannot be compared.

    """
    from adamtl_ros.evaluation.bags import compare

    if not options.threshold >= 0:
        raise ValueError(f'--threshold takes a relative loss of 0 or more, got {options.threshold}')
    before, after = map(compare.read_summary, (options.before, options.after))
    try:
        changes = compare.compare(before, after, times=options.times)
        table = compare.comparison_table(changes)
        notes = compare.differences_in_setup(before, after)
        regressions = compare.missing_results(before, after)
        worse = compare.regressions(changes, options.threshold)
    except (ArithmeticError, AttributeError, IndexError, LookupError, TypeError) as error:
        raise ValueError(
            f'{options.before} or {options.after} is no whole metrics.json: {reason(error)}'
        ) from error
    print(table)
    for sentence in notes:
        print(f'note: {one_line(sentence)}')
    if worse:
        names = ', '.join(f'{change.name} at {change.budget:g}' for change in worse)
        regressions.append(
            f'worse by more than {100 * options.threshold:g} % and beyond noise: {names}'
        )
    for sentence in regressions:
        print(f'REGRESSION: {one_line(sentence)}')
    return 1 if regressions else 0
