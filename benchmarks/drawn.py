# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparison of training methods on drawn scenes: accuracy and cost at several budgets.

All rows are trained on the same number of images and scored on the same held-out scenes.

    python benchmarks/drawn.py train|score|time|table    see study.py
"""

from __future__ import annotations

from functools import partial

from comparison_plots import draw_comparison
from comparison_table import Entry
from study import TARGET, Study, StudyRow

from adamtl_ros.tasks import TASKS

STATIC = {'stages.0.kind': 'static', 'stages.1.kind': 'static', 'stages.2.kind': 'static',
          'stages.1.lr': 0.001, 'stages.1.focus': 0.0, 'stages.2.focus': 0.0}  # fmt: skip
PUBLISHED = {
    'policy.gates': ['blocks', 'tokens'],
    'combinations': False,
    'stages.1.budgets': [TARGET, TARGET],
    'stages.2.budgets': [TARGET, TARGET],
    **{
        f'stages.{stage}.{name}': value
        for stage in (1, 2)
        for name, value in {'full': 0.0, 'focus': 0.0, 'flips': False}.items()
    },
}

STUDY = Study(
    'drawn',
    {
        'ours': StudyRow(seeds=3, budgets=(1.0, 0.75, TARGET, 0.5, 0.4), random=True),
        **{f'single_{task}': StudyRow({**STATIC, 'tasks': [task]}, seeds=3) for task in TASKS},
        'static': StudyRow(STATIC),
        'pico': StudyRow({**STATIC, 'architecture': 'pico'}),
        'adamtl_agnostic': StudyRow({**PUBLISHED, 'policy.task_aware': False}, budgets=(TARGET,)),
        'adamtl_aware': StudyRow(PUBLISHED, budgets=(TARGET,)),
    },
    (
        Entry('single', 'six single-task networks', single_task=True),
        Entry('static', 'static multi-task'),
        Entry('pico', 'smaller static multi-task'),
        Entry('adamtl_agnostic', 'AdaMTL, task-agnostic (blocks, tokens)', adaptive=True),
        Entry('adamtl_aware', 'AdaMTL, task-aware (blocks, tokens)', adaptive=True),
        Entry('ours', 'ours', adaptive=True),
    ),
    partial(draw_comparison, adaptive='ours', budget=TARGET),
)

if __name__ == '__main__':
    STUDY.main()
