# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An evaluation as one page for people: `report.html`, which needs no other file and no network."""

from __future__ import annotations

from base64 import b64encode
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from adamtl_ros.evaluation.bags import plots
from adamtl_ros.evaluation.bags.result import add_up, best
from adamtl_ros.evaluation.bags.scores import VISIBLE
from adamtl_ros.evaluation.bags.summary import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adamtl_ros.evaluation.bags.result import BagResult, Example
    from adamtl_ros.tasks import Task

TEMPLATE = Path(__file__).with_name('report.html')

UNKNOWN = '—'
"""Stands where there is no number."""


def write_report(
    summary: Mapping[str, Any],
    results: Sequence[BagResult],
    tasks: Mapping[str, Task],
    path: Path,
) -> None:
    """Write an evaluation as HTML.

    Args:
        summary: Of `summarise()`, of the same results.
        results: Of each recording, in the order of the summary.
        tasks: Tasks that ran.
        path: The file; its folder is made.

    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        'number': number, 'percent': percent, 'plus_minus': plus_minus, 'percentile': percentile,
    }  # fmt: skip
    template = environment.from_string(TEMPLATE.read_text(encoding='utf-8'))
    marks = _marks(results)
    page = template.render(
        summary=summary,
        rows=list(zip(summary['results'], summary['timing']['results'], strict=True)),
        tasks={name: tasks[name] for name in summary['settings']['tasks']},
        truth={name: plots.has_truth(summary, name) for name in summary['settings']['tasks']},
        plots=_plots(summary, results, tasks, marks) if summary['frames'] else {},
        examples=[_picture(text, one, results) for text, one in marks.items()],
        percentiles=PERCENTILES,
        visible=VISIBLE,
        unknown=UNKNOWN,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding='utf-8')


def number(value: float | None, digits: int = 1) -> str:
    """Return a number with so many digits after the point; a dash for None or NaN."""
    return UNKNOWN if value is None or isnan(value) else f'{value:.{digits}f}'


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share, 0..1, in per cent."""
    return UNKNOWN if value is None or isnan(value) else f'{100 * value:.{digits}f} %'


def plus_minus(scored: Mapping[str, Any], metric: str) -> str:
    """Return a metric of a task with its standard error."""
    digits = 2 if 'angle' in metric else 4
    value, error = scored['values'].get(metric), scored['errors'].get(metric)
    return f'{number(value, digits)} ± {number(error, digits)}'


def percentile(found: Mapping[str, float | None], wanted: int) -> str:
    """Return a percentile [ms]."""
    return number(found[f'p{wanted}'])


def _plots(
    summary: Mapping[str, Any],
    results: Sequence[BagResult],
    tasks: Mapping[str, Task],
    marks: Mapping[str, Example],
) -> dict[str, Any]:
    """Return addresses of all plots by name; of those of tasks by task."""
    names = summary['settings']['tasks']
    streaming = all(row['streaming'] for row in summary['timing']['results'])
    return {
        'trade_off': {name: plots.trade_off(summary, name) for name in names},
        'live': {name: plots.live(summary, name) for name in names} if streaming else {},
        'latency': plots.latency_histogram(summary),
        'over_time': plots.over_time(results, marks),
        'blocks': plots.blocks(summary),
        'heat': plots.heat_maps(add_up(results, tasks)),
    }


def _marks(results: Sequence[BagResult]) -> dict[str, Example]:
    """Return the hardest frames of all recordings, then the easiest, by what to call them."""
    every = [one for result in results for one in result.examples]
    hard = best(every, sign=1)
    easy = [one for one in best(every, sign=-1) if one not in hard]
    groups = {'hard': hard, 'easy': easy}
    return {f'{kind} {i}': one for kind, some in groups.items() for i, one in enumerate(some, 1)}


def _picture(text: str, one: Example, results: Sequence[BagResult]) -> dict[str, Any]:
    result = next(result for result in results if result.name == one.bag)
    begin = min(cost.stamp for cost in result.budgets[0].costs)
    return {
        'text': text,
        'bag': one.bag,
        'seconds': (one.stamp - begin) / 1e9,
        'share': one.share,
        'address': f'data:image/jpeg;base64,{b64encode(one.picture).decode()}',
    }
