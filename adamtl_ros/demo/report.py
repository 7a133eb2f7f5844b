# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Table, plot and summary of the compute statistics of a demo."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

mpl.use('Agg')

from matplotlib import pyplot

from adamtl_ros.governor.governor import Reason

if TYPE_CHECKING:
    from pathlib import Path

    from adamtl_ros.demo.session import DemoRun
    from adamtl_ros.msg import ComputeStats

STAGES = ('decode_ms', 'preprocess_ms', 'infer_ms', 'postprocess_ms', 'publish_ms')
BUDGET_COLUMNS = ('requested_budget', 'effective_budget', 'limit_reason')
LIMIT_COLUMNS = ('battery_budget', 'thermal_budget', 'deadline_budget')
WORK_COLUMNS = ('macs', 'macs_full', 'blocks_run', 'blocks_total', 'windows_run', 'windows_total')
COUNT_COLUMNS = tuple(
    f'frames_{kind}' for kind in ('received', 'processed', 'dropped', 'idle', 'refused', 'late')
)
SENSOR_COLUMNS = ('battery', 'temperature', 'energy')
COLUMNS = (
    *BUDGET_COLUMNS,
    *LIMIT_COLUMNS,
    *WORK_COLUMNS,
    *STAGES,
    'latency_ms',
    'age_ms',
    *COUNT_COLUMNS,
    *SENSOR_COLUMNS,
    'engine',
    'precision',
)
"""Columns of `compute_stats.csv`, fields of `ComputeStats`."""


@dataclass(frozen=True)
class Summary:
    """Key figures of a run.

    Attributes:
        sent: Images that the player sent.
        received: Images that reached the node.
        processed: Images with published results.
        dropped: Images that a newer one replaced.
        refused: Images that could not be read.
        complete: Processed images with a recorded result of every task.
        rate_hz: Processed images per second, from the first to the last.
        work_ms: Median and 95th percentile from decoding to publishing, without waiting.
        latency_ms: Median and 95th percentile from arrival at the node to publication.
        age_ms: Median and 95th percentile from leaving the player to the last recorded result.
        macs: Mean multiply-accumulates per frame.
        mac_fraction: Mean fraction of the full multiply-accumulates.
        requested: Mean requested budget.
        floored: Whether the fixed cost exceeded the budget in all frames.
        by_budget: Frames, mean MAC fraction and median inference time [ms], by requested budget.

    """

    sent: int
    received: int
    processed: int
    dropped: int
    refused: int
    complete: int
    rate_hz: float
    work_ms: tuple[float, float]
    latency_ms: tuple[float, float]
    age_ms: tuple[float, float]
    macs: float
    mac_fraction: float
    requested: float
    floored: bool
    by_budget: dict[float, tuple[int, float, float]]

    def __str__(self) -> str:
        """Return the human-readable summary."""
        lost = self.sent - self.received
        return '\n'.join(
            [
                f'frames      {self.sent} sent, {self.received} received'
                f' ({lost} lost on the way), {self.processed} processed,'
                f' {self.dropped} dropped for a newer one, {self.refused} refused',
                f'complete    {self.complete} of {self.processed} processed frames'
                ' have results of all tasks with equal stamps',
                f'rate        {self.rate_hz:.1f} frames/s',
                _times('work', self.work_ms, 'decode to publish'),
                _times('latency', self.latency_ms, 'work and waiting time in the node'),
                _times('result age', self.age_ms, 'from the player to the recorder'),
                f'compute     {self.macs / 1e6:.1f} million MACs a frame,'
                f' {100 * self.mac_fraction:.1f} % of full'
                f' at a budget of {100 * self.requested:.0f} %'
                + (' (the fixed cost is higher)' if self.floored else ''),
                *self._budget_lines(),
            ]
        )

    def _budget_lines(self) -> list[str]:
        if len(self.by_budget) < 2:
            return []
        return [
            f'budget {budget:<5.3g}{frames:4d} frames, {100 * fraction:5.1f} % of the MACs,'
            f' inference p50 {infer:.1f} ms'
            for budget, (frames, fraction, infer) in self.by_budget.items()
        ]


def _times(label: str, values: tuple[float, float], meaning: str) -> str:
    return f'{label:<11} p50 {values[0]:.1f} ms, p95 {values[1]:.1f} ms ({meaning})'


def summarize_run(run: DemoRun) -> Summary:
    """Return the key figures of a run; NaN where not known."""
    frames = processed_stats(run)
    images = _results(run, frames)
    complete = set.intersection(*(set(by) for by in images)) if images else set()
    ages = [(max(by[s] for by in images) - run.sent[s]) / 1e6 for s in complete if s in run.sent]
    stats_topic = next((by for topic, by in run.arrivals.items() if 'compute_stats' in topic), {})
    done = sorted(arrived for stamp, arrived in stats_topic.items() if stamp)
    span = (done[-1] - done[0]) / 1e9 if len(done) > 1 else float('nan')
    last = run.stats[-1]
    return Summary(
        sent=len(run.sent),
        received=last.frames_received,
        processed=last.frames_processed,
        dropped=last.frames_dropped,
        refused=last.frames_refused,
        complete=len(complete),
        rate_hz=(len(done) - 1) / span,
        work_ms=_percentiles([work_ms(stats) for stats in frames]),
        latency_ms=_percentiles([stats.latency_ms for stats in frames]),
        age_ms=_percentiles(ages),
        macs=_mean([stats.macs for stats in frames]),
        mac_fraction=_mean([stats.macs / stats.macs_full for stats in frames]),
        requested=_mean([stats.requested_budget for stats in frames]),
        floored=all(stats.limit_reason == stats.FLOOR for stats in frames),
        by_budget={budget: _cost(group) for budget, group in _by_budget(frames).items()},
    )


def _by_budget(frames: list[ComputeStats]) -> dict[float, list[ComputeStats]]:
    """Group frames by requested budget, in descending order."""
    budgets = sorted({stats.requested_budget for stats in frames}, reverse=True)
    return {value: [s for s in frames if s.requested_budget == value] for value in budgets}


def _cost(frames: list[ComputeStats]) -> tuple[int, float, float]:
    """Return the number of frames, their mean MAC fraction, and median inference time [ms]."""
    fraction = _mean([stats.macs / stats.macs_full for stats in frames])
    return len(frames), fraction, _percentiles([stats.infer_ms for stats in frames])[0]


def _results(run: DemoRun, frames: list[ComputeStats]) -> list[dict[int, int]]:
    """Return the arrivals of the results of each task by stamp."""
    tasks = {task for stats in frames for task in stats.tasks}
    by_task = {
        topic.split('/')[-2]: by for topic, by in run.arrivals.items() if topic.endswith('/image')
    }
    return [by_task.get(task, {}) for task in tasks]


def processed_stats(run: DemoRun) -> list[ComputeStats]:
    """Return the statistics of processed frames, without idle messages."""
    return [stats for stats in run.stats if stats.tasks]


def work_ms(stats: ComputeStats) -> float:
    """Return the processing time of a frame [ms]."""
    return float(sum(getattr(stats, stage) for stage in STAGES))


def write_table(run: DemoRun, path: Path) -> None:
    """Write the statistics of the processed frames as CSV."""
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['stamp', *COLUMNS, 'tasks'])
        for stats in processed_stats(run):
            stamp = f'{stats.header.stamp.sec}.{stats.header.stamp.nanosec:09d}'
            values = [_cell(stats, column) for column in COLUMNS]
            writer.writerow([stamp, *values, ' '.join(stats.tasks)])


def _cell(stats: ComputeStats, column: str) -> object:
    value = getattr(stats, column)
    if column == 'limit_reason':
        return Reason(value).name
    return f'{value:.6g}' if isinstance(value, float) else value


def write_plot(run: DemoRun, path: Path) -> None:
    """Plot budget, compute and latency over the time of the recording."""
    frames = processed_stats(run)
    stamps = [stats.header.stamp.sec + stats.header.stamp.nanosec / 1e9 for stats in frames]
    times = [stamp - stamps[0] for stamp in stamps]
    known = _known_sensors(frames)
    rows = 3 + len(known)
    figure, panels = pyplot.subplots(rows, 1, sharex=True, figsize=(10, 2 + 2 * rows))
    top, middle, bottom, *others = panels
    top.plot(times, [s.macs / s.macs_full for s in frames], '.', color='tab:green', label='spent')
    top.step(times, [s.requested_budget for s in frames], label='requested', where='post')
    top.step(times, [s.effective_budget for s in frames], '--', label='effective', where='post')
    top.set(ylabel='fraction of the full MACs', ylim=(0, 1.05))
    middle.plot(times, [s.macs / 1e6 for s in frames], '.', color='tab:green', label='spent')
    middle.plot(times, [s.macs_full / 1e6 for s in frames], '--', color='black', label='full')
    middle.set(ylabel='million MACs per frame', ylim=(0, None))
    layers = [[getattr(s, stage) for s in frames] for stage in STAGES]
    bottom.stackplot(times, layers, labels=[stage[:-3] for stage in STAGES], alpha=0.8)
    bottom.plot(times, [s.latency_ms for s in frames], 'k.', label='latency')
    bottom.set(ylabel='ms', ylim=(0, None))
    for axes, (name, title) in zip(others, known.items(), strict=True):
        axes.plot(times, [getattr(s, name) for s in frames], color='tab:red', label=name)
        axes.set(ylabel=title)
    panels[-1].set(xlabel='time in the recording [s]')
    _mark_reasons(top, times, frames)
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False)
    figure.suptitle('Budget, compute and latency per frame')
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _known_sensors(frames: list[ComputeStats]) -> dict[str, str]:
    """Return the sensors with known values, with titles."""
    titles = {'battery': 'charge', 'temperature': '°C'}
    return {n: t for n, t in titles.items() if not all(math.isnan(getattr(s, n)) for s in frames)}


def _mark_reasons(axes: Any, times: list[float], frames: list[ComputeStats]) -> None:
    """Shade the times at which a limiter set the budget."""
    colors = {'BATTERY': 'tab:green', 'THERMAL': 'tab:red', 'DEADLINE': 'tab:blue'}
    for name, color in colors.items():
        where = [s.limit_reason == Reason[name] for s in frames]
        if any(where):
            style = {'color': color, 'alpha': 0.15, 'lw': 0, 'label': name.lower()}
            axes.fill_between(times, 0, 1, where=where, **style)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float('nan')


def _percentiles(values: list[float]) -> tuple[float, float]:
    if not values:
        return float('nan'), float('nan')
    median, high = np.percentile(values, [50, 95])
    return float(median), float(high)
