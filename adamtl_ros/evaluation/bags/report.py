# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Human-readable report of an evaluation: `report.html`, one file without external resources.

Its plots are SVG in `data:` URLs; equal numbers give equal text.
"""

from __future__ import annotations

import io
from base64 import b64encode
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from adamtl_ros.evaluation.bags.result import add_up, mac_fractions, select_examples
from adamtl_ros.evaluation.bags.scores import VISIBLE
from adamtl_ros.evaluation.bags.summary import PERCENTILES
from adamtl_ros.evaluation.bags.temporal import GHOST_FRAMES
from adamtl_ros.files import write_file
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.bags.result import BagResult, BudgetResult, Example

    Rows = Sequence[Mapping[str, Any]]
    from collections.abc import Mapping, Sequence

    from adamtl_ros.tasks import Task

STYLE = {
    'axes.grid': True, 'axes.spines.right': False, 'axes.spines.top': False, 'font.size': 8,
    'grid.alpha': 0.3, 'image.cmap': 'viridis', 'legend.frameon': False,
    'svg.hashsalt': 'adamtl_ros',
}  # fmt: skip
DPI = 130


def has_truth(summary: Mapping[str, Any], task: str) -> bool:
    """Return whether any frame has ground truth for a task."""
    return any(task in row['truth'] for row in summary['results'])


def plot_trade_off(summary: Mapping[str, Any], task: str) -> str:
    """Draw the quality of a task against MACs and against latency.

    Args:
        summary: Return value of `build_summary()` with at least one frame.
        task: Name of the task. Its metric is drawn with standard errors; without ground truth,
            the fraction of pixels that differ visibly from those at full budget.

    """
    return _svg(6.4, 2.5, lambda figure: _pair(figure, summary, task))


def plot_live(summary: Mapping[str, Any], task: str) -> str:
    """Draw the quality of a task in the live node and offline, against MACs."""
    truth, rows = has_truth(summary, task), summary['results']
    late = [row['streaming'] for row in summary['timing']['results']]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for label, source, style in (('offline', rows, 'o-'), ('live', late, 's--')):
            values, errors, _ = _quality(source, task, truth=truth)
            axes.errorbar(_millions(rows), values, errors, fmt=style, ms=4, label=label)
        axes.set(title=task, xlabel='million MACs per frame', ylabel=_quality(rows, task, truth)[2])
        axes.legend()

    return _svg(3.6, 2.5, draw)


def plot_latency_histogram(summary: Mapping[str, Any]) -> str:
    """Draw a histogram of the latency for each budget, with its median as a line."""
    rows = summary['timing']['results']

    def draw(figure: Any) -> None:
        panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        medians = _medians(summary)
        for axes, row, median, color in zip(panels, rows, medians, _colors(len(rows)), strict=True):
            counts = np.array(row['histogram_ms']['counts'], float)
            part = counts / counts.sum()
            axes.stairs(part, row['histogram_ms']['edges'], fill=True, color=color)
            axes.axvline(median, color='black', lw=1)
            axes.set_ylabel(f'budget {row["budget"]:g}')
            axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        panels[-1].set(xlabel='latency [ms]', xlim=(0, None))

    return _svg(6.4, 0.6 + 0.95 * len(rows), draw)


def plot_over_time(results: Sequence[BagResult], marks: Mapping[str, Example]) -> str:
    """Draw the executed fraction of the MACs of each frame over time.

    Args:
        results: Result of each recording; they are drawn one after another, numbered from 1.
        marks: Frames to mark, by label.

    """

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        begin = 0.0
        for number, result in enumerate(results, 1):
            if result.frames:
                axes.axvline(begin, color='0.4', lw=0.8)
                place = {'xycoords': ('data', 'axes fraction'), 'textcoords': 'offset points'}
                axes.annotate(f'#{number}', (begin, 1), (2, 2), color='0.3', **place)
                _mark(axes, result, begin, marks)
                begin += _recording(axes, result, begin)
        axes.set(xlabel='time in the recordings [s]', ylabel='share of the full MACs',
                 ylim=(0, 1.08), xlim=(0, 1.05 * begin))  # fmt: skip
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(handles.values(), handles, loc='outside right center', title='budget')

    return _svg(9, 3, draw)


def plot_blocks(summary: Mapping[str, Any]) -> str:
    """Draw the fraction of the frames in which each block ran, a row for each budget."""
    rows = summary['results']
    part = np.array([row['blocks'] for row in rows])

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        image = axes.imshow(part, vmin=0, vmax=1, aspect='auto')
        for (row, column), value in np.ndenumerate(part):
            dark = 'white' if value < 0.6 else 'black'
            axes.text(column, row, f'{100 * value:.0f}', ha='center', va='center', color=dark)
        axes.set(xlabel='block of the encoder', ylabel='budget')
        axes.set_xticks(range(part.shape[1]), range(1, part.shape[1] + 1))
        axes.set_yticks(range(len(rows)), [f'{row["budget"]:g}' for row in rows])
        axes.grid(False)
        figure.colorbar(image, label='frames', format=PercentFormatter(1))

    return _svg(1.8 + 0.36 * part.shape[1], 0.8 + 0.3 * len(rows), draw)


def plot_usage_maps(totals: Sequence[BudgetResult]) -> str:
    """Draw the fraction of the blocks that ran at each place, a map for each budget."""
    columns = min(len(totals), 4)
    rows = -(-len(totals) // columns)

    def draw(figure: Any) -> None:
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.ravel():
            axes.axis('off')
        for axes, total in zip(panels.ravel(), totals, strict=False):
            image = axes.imshow(total.usage.map, vmin=0, vmax=1)
            axes.set_title(f'budget {total.budget:g}')
        figure.colorbar(image, ax=panels, label='blocks that ran', format=PercentFormatter(1))

    return _svg(0.9 + 2.1 * columns, 0.3 + 1.7 * rows, draw)


def write_main_plot(summary: Mapping[str, Any], path: Path) -> None:
    """Write the curves of all tasks as one PNG, two tasks in a row.

    Only tasks with ground truth are drawn; if there are none, all tasks with the fraction of
    pixels that differ visibly from those at full budget.

    Raises:
        ValueError: Nothing was evaluated.

    """
    if not summary['frames']:
        raise ValueError('no frame was evaluated, so there is nothing to draw')
    tasks = [task for task in summary['settings']['tasks'] if has_truth(summary, task)] or summary[
        'settings'
    ]['tasks']
    columns = min(len(tasks), 2)
    rows = -(-len(tasks) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2 * columns, 2.3 * rows), layout='constrained')
        places = figure.subfigures(rows, columns, squeeze=False).ravel()
        for place, task in zip(places, tasks, strict=False):
            _pair(place, summary, task)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format='png', dpi=DPI)


def _pair(figure: Any, summary: Mapping[str, Any], task: str) -> None:
    """Draw the quality of a task against MACs on one panel and against latency on the other."""
    rows = summary['results']
    values, errors, name = _quality(rows, task, truth=has_truth(summary, task))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, x in zip(panels, (_millions(rows), _medians(summary)), strict=True):
        axes.errorbar(x, values, errors, fmt='-', color='0.5', lw=1, zorder=1)
        axes.scatter(x, values, s=22, color=_colors(len(rows)), zorder=2)
        for number, (row, *point) in enumerate(zip(rows, x, values, strict=True)):
            if np.isfinite(point).all():
                # Labels alternate above and below, since points can be close together.
                away = (4, 4 - 13 * (number % 2))
                axes.annotate(f'{row["budget"]:g}', point, away, textcoords='offset points',
                              fontsize=7)  # fmt: skip
        axes.margins(0.12, 0.15)
    panels[0].set(title=task, xlabel='million MACs per frame', ylabel=name)
    panels[1].set(xlabel='median latency [ms]')


def _quality(
    rows: Rows, task: str, truth: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return values by budget, standard errors (NaN if not known), and a label for the axis."""
    if not truth:
        parts = _array(row['differs_from_full'][task]['pixels'] for row in rows)
        return 100 * parts, np.full(len(rows), np.nan), 'pixels that differ [%] ↓'
    metric = TASKS[task].metric
    known = [row['truth'].get(task, {'values': {}, 'errors': {}}) for row in rows]
    values = _array(one['values'].get(metric) for one in known)
    errors = _array(one['errors'].get(metric) for one in known)
    return values, errors, f'{metric} {"↑" if TASKS[task].higher_is_better else "↓"}'


def _recording(axes: Any, result: BagResult, begin: float) -> float:
    """Draw a recording that starts at a time and return its duration [s]."""
    stamps = np.array([cost.stamp for cost in result.budgets[0].costs])
    seconds = (stamps - stamps.min()) / 1e9
    for row, color in zip(result.budgets, _colors(len(result.budgets)), strict=True):
        axes.plot(begin + seconds, mac_fractions(row.costs), '.-', ms=3, lw=0.6, color=color,
                  label=f'{row.budget:g}', rasterized=True)  # fmt: skip
    # A frame lasts until the next one; a single frame is drawn as a second.
    return float(seconds.max() * (1 + 1 / max(len(seconds) - 1, 1))) or 1.0


def _mark(axes: Any, result: BagResult, begin: float, marks: Mapping[str, Example]) -> None:
    """Circle frames of a recording; labels are above the harder and below the easier ones."""
    middle = np.mean([one.mac_fraction for one in marks.values()]) if marks else 0.0
    first = min(cost.stamp for cost in result.budgets[0].costs)
    for text, one in marks.items():
        if one.bag == result.name:
            place = (begin + (one.stamp - first) / 1e9, one.mac_fraction)
            axes.plot(*place, 'o', ms=7, mfc='none', color='tab:red', clip_on=False)
            axes.annotate(text, place, (4, 5 if one.mac_fraction >= middle else -12),
                          textcoords='offset points', color='tab:red', weight='bold')  # fmt: skip


def _millions(rows: Rows) -> NDArray[np.float64]:
    return _array(row['macs'] for row in rows) / 1e6


def _medians(summary: Mapping[str, Any]) -> NDArray[np.float64]:
    return _array(row['latency_ms']['p50'] for row in summary['timing']['results'])


def _array(values: Iterable[float | None]) -> NDArray[np.float64]:
    """Return an array with NaN in place of None."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _colors(count: int) -> Any:
    """Return a color for each budget, full budget darkest."""
    return mpl.colormaps['viridis'](np.linspace(0, 0.85, count))


def _svg(width: float, height: float, draw: Callable[[Any], None]) -> str:
    """Return a drawing as a `data:` URL; width and height in inches."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout='constrained')
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format='svg', dpi=DPI, metadata={'Date': None})
    return f'data:image/svg+xml;base64,{b64encode(file.getvalue()).decode()}'


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
        summary: Return value of `build_summary()` for the same results.
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
        truth={name: has_truth(summary, name) for name in summary['settings']['tasks']},
        plots=_plots(summary, results, tasks, marks) if summary['frames'] else {},
        examples=[_picture(text, one, results) for text, one in marks.items()],
        percentiles=PERCENTILES,
        visible=VISIBLE,
        ghost_frames=GHOST_FRAMES,
        unknown=UNKNOWN,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, page)


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
    # A table cell may wrap before the sign, but not after it.
    return f'{number(value, digits)} ±\N{NO-BREAK SPACE}{number(error, digits)}'


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
        'trade_off': {name: plot_trade_off(summary, name) for name in names},
        'live': {name: plot_live(summary, name) for name in names} if streaming else {},
        'latency': plot_latency_histogram(summary),
        'over_time': plot_over_time(results, marks),
        'blocks': plot_blocks(summary),
        'usage': plot_usage_maps(add_up(results, tasks)),
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
