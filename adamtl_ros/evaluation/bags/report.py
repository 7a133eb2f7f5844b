# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Human-readable report of an evaluation: `report.html`, one file without external resources."""

from __future__ import annotations

from base64 import b64encode
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from adamtl_ros.evaluation.bags import plots
from adamtl_ros.evaluation.bags.result import add_up, select_examples
from adamtl_ros.evaluation.bags.scores import VISIBLE
from adamtl_ros.evaluation.bags.summary import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adamtl_ros.evaluation.bags.result import BagResult, Example
    from adamtl_ros.tasks import Task

TEMPLATE = Path(__file__).with_name('report.html')

UNKNOWN = '—'
"""Text in place of an unknown number."""


def write_report(
    summary: Mapping[str, Any],
    results: Sequence[BagResult],
    tasks: Mapping[str, Task],
    path: Path,
) -> None:
    """Write an evaluation as HTML.

    Args:
        summary: Return value of `summarise()` for the same results.
        results: Result of each recording, in the order of the summary.
        tasks: Tasks that ran, by name.
        path: File to write; its folder is created.

    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        'number': number,
        'percent': percent,
        'plus_minus': plus_minus,
        'percentile': percentile,
    }
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
    """Return a number with `digits` digits after the point; a dash for None or NaN."""
    return UNKNOWN if value is None or isnan(value) else f'{value:.{digits}f}'


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction, 0..1, in percent."""
    return UNKNOWN if value is None or isnan(value) else f'{100 * value:.{digits}f} %'


def plus_minus(scored: Mapping[str, Any], metric: str) -> str:
    """Return a metric of a task with its standard error."""
    digits = 2 if 'angle' in metric else 4
    value, error = scored['values'].get(metric), scored['errors'].get(metric)
    return f'{number(value, digits)} ± {number(error, digits)}'


def percentile(levels: Mapping[str, float | None], rank: int) -> str:
    """Return a percentile [ms] of those in the summary."""
    return number(levels[f'p{rank}'])


def _plots(
    summary: Mapping[str, Any],
    results: Sequence[BagResult],
    tasks: Mapping[str, Task],
    marks: Mapping[str, Example],
) -> dict[str, Any]:
    """Return all plots as `data:` URLs by name; those of tasks as dictionaries by task."""
    names = summary['settings']['tasks']
    streaming = all(row['streaming'] for row in summary['timing']['results'])
    return {
        'trade_off': {name: plots.trade_off(summary, name) for name in names},
        'live': {name: plots.live(summary, name) for name in names} if streaming else {},
        'latency': plots.latency_histogram(summary),
        'over_time': plots.over_time(results, marks),
        'blocks': plots.blocks(summary),
        'usage': plots.usage_maps(add_up(results, tasks)),
    }


def _marks(results: Sequence[BagResult]) -> dict[str, Example]:
    """Return the hardest and easiest examples of all recordings by label, such as 'hard 1'."""
    every = [one for result in results for one in result.examples]
    hard = select_examples(every, sign=1)
    easy = [one for one in select_examples(every, sign=-1) if one not in hard]
    groups = {'hard': hard, 'easy': easy}
    return {f'{kind} {i}': one for kind, some in groups.items() for i, one in enumerate(some, 1)}


def _picture(text: str, one: Example, results: Sequence[BagResult]) -> dict[str, Any]:
    result = next(result for result in results if result.name == one.bag)
    start = min(cost.stamp for cost in result.budgets[0].costs)
    return {
        'text': text,
        'bag': one.bag,
        'seconds': (one.stamp - start) / 1e9,
        'mac_fraction': one.mac_fraction,
        'url': f'data:image/jpeg;base64,{b64encode(one.picture).decode()}',
    }
