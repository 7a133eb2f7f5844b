# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparison of training methods on NYUv2: accuracy and cost at several budgets.

All rows start from the same ImageNet weights, see the same number of photographs, and are scored
on the 654 test photographs. The ablation takes the parts of the recipe away one by one.

    python benchmarks/comparison.py train|score|time|table    see study.py
"""

from __future__ import annotations

from comparison_plots import draw_gains
from comparison_table import Entry
from study import TARGET, Study, StudyRow

from adamtl_ros.training.recipe import Stage

TASKS = ('semseg', 'normals', 'depth', 'edges')
BUDGETS = (1.0, 0.75, TARGET, 0.4, 0.25)
STATIC = {'stages.1.kind': 'static'}
BLOCKS = range(9)
"""Gated blocks of EfficientNet-Lite0."""
SKIPS = [(), (7, 8), (3, 5, 7, 8), (0, 1, 3, 5, 7, 8), tuple(BLOCKS)]
DEPTHS = {'ladder': [{'skip': list(skip)} for skip in SKIPS]}
"""Ladder of blocks alone: 1, 0.89, 0.79, 0.70 and 0.54 of the MACs."""
LADDER_BUDGETS = (1.0, 0.75, TARGET)


def fixed(**rung: object) -> StudyRow:
    """Return the row of a network that is trained and scored as one rung only."""
    one = {'ladder': [{}, rung], 'stages.0.rung': 1, 'stages.1.rung': 1}
    return StudyRow({**STATIC, **one}, seeds=3, budgets=(TARGET,))


def policy(low: float, high: float, **stage: object) -> StudyRow:
    """Return the row of a policy over free gates, trained for a range of budgets."""
    common = {'batch': 16, 'size': [144, 192], 'budgets': [low, high], **stage}
    rates = {'lr': 0.0008, 'encoder_lr': 0.0002}
    stages = [
        {'kind': 'backbone', 'steps': 300, 'lr': 0.0015, 'encoder_lr': 0.0004, **common},
        {'kind': 'policy', 'steps': 60, **common},
        {'kind': 'joint', 'steps': 240, **rates, **common},
    ]
    budgets = (TARGET,) if low == high else LADDER_BUDGETS
    return StudyRow({'ladder': [], 'stages': stages, 'combinations': False}, budgets=budgets)


STUDY = Study(
    'comparison',
    {
        'ours': StudyRow(seeds=3, budgets=BUDGETS),
        'resolution': fixed(scale=0.72),
        'smaller': fixed(skip=list(BLOCKS)),
        'static': StudyRow(STATIC, seeds=3),
        **{f'single_{task}': StudyRow({**STATIC, 'tasks': [task]}) for task in TASKS},
        'adamtl': policy(TARGET, TARGET, full=0.0, flips=False),
        'gates': policy(*Stage.budgets, focus=1.0),
        'ladder': StudyRow(
            {**DEPTHS, 'stages.1.rungs': 1, 'stages.1.sandwich': False}, budgets=LADDER_BUDGETS
        ),
        'sandwich': StudyRow({**DEPTHS, 'stages.1.distillation': 0.0}, budgets=LADDER_BUDGETS),
        'distillation': StudyRow(DEPTHS, budgets=LADDER_BUDGETS),
    },
    (
        Entry('single', 'four single-task networks', single_task=True),
        Entry('static', 'static multi-task'),
        Entry('resolution', 'static multi-task, smaller input', adaptive=True),
        Entry('smaller', 'static multi-task, fewer blocks', adaptive=True),
        Entry('adamtl', "AdaMTL's policy for one budget", adaptive=True),
        Entry('gates', 'policy over free gates', adaptive=True),
        Entry('ladder', '+ ladder of blocks', adaptive=True),
        Entry('sandwich', '+ sandwich rule', adaptive=True),
        Entry('distillation', '+ in-place distillation', adaptive=True),
        Entry('ours', '+ ladder of resolutions: ours', adaptive=True),
    ),
    draw_gains,
    TASKS,
)

if __name__ == '__main__':
    STUDY.main()
