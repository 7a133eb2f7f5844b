# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl adapt` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.bag_verbs import add_topic_options

if TYPE_CHECKING:
    import argparse


def add_adapt_verb(verbs: Any) -> None:  # noqa: ANN401  argparse does not name the type
    """Add it to the parser."""
    verb = verbs.add_parser('adapt', help='adapt a model to a robot, in a small file of its own')
    verb.set_defaults(run=_adapt, failure=2)
    add = verb.add_argument
    data = verb.add_mutually_exclusive_group(required=True)
    data.add_argument(
        '--bag', dest='bags', type=Path, action='append', help='with labels; may be repeated'
    )
    data.add_argument('--data', type=Path, metavar='RECIPE', help='its data in the place of bags')
    add('--base', default='scenes_nano', help='model to adapt, file or name (scenes_nano)')
    add(
        '--out', type=Path, required=True, help='file to write, such as kitchen.adapter.safetensors'
    )
    add('--tasks', default='', help='separated by commas; all that have labels if not given')
    add('--rank', type=int, default=8, help='of the pairs that tasks share (8)')
    add('--task-rank', type=int, default=4, help='of the pairs of each task; 0 for none (4)')
    add('--steps', type=int, default=400, help='of the training (400)')
    add('--batch', type=int, default=8, help='images of a step (8)')
    add('--lr', type=float, default=4e-3, help='learning rate (0.004)')
    add('--seed', type=int, default=0, help='of the training (0)')
    add('--threads', type=int, help='of the CPU; as many as torch takes if not given')
    add('--holdout', type=float, default=0.2, help='share of each bag to compare on, its end (0.2)')
    add('--budget', type=float, default=0.57, help='the lower one that is compared (0.57)')
    add(
        '--keep',
        type=float,
        default=1.0,
        help='weight of holding tasks without labels to what the base answers (1)',
    )
    add_topic_options(verb)


def _adapt(options: argparse.Namespace) -> None:
    import torch

    from adamtl_ros.adaptation import Wish, run_adaptation
    from adamtl_ros.training.adapters import Adapters
    from adamtl_ros.training.recipe import read_recipe

    if not 0 < options.holdout < 1:
        raise ValueError(f'--holdout takes a share between 0 and 1, got {options.holdout}')
    if not 0 < options.budget <= 1:
        raise ValueError(f'--budget takes a share in (0, 1], got {options.budget}')
    if options.threads:
        torch.set_num_threads(options.threads)
    wish = Wish(
        options.base,
        options.out,
        tuple(options.bags or ()),
        read_recipe(options.data) if options.data else None,
        tuple(part.strip() for part in options.tasks.split(',') if part.strip()),
        Adapters(options.rank, options.task_rank, keep=options.keep),
        options.steps,
        options.batch,
        options.lr,
        options.holdout,
        options.budget,
        _bag_options(options),
        options.seed,
    )
    print(run_adaptation(wish))


def _bag_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return how the bags are read."""
    import yaml

    found: dict[str, Any] = {}
    if options.camera:
        found['camera'] = options.camera
    if options.truth:
        pairs = [text.partition('=') for text in options.truth]
        if not all(task and topic for task, _, topic in pairs):
            raise ValueError(f'--truth takes TASK=TOPIC, got {options.truth}')
        found['truth'] = {task: topic for task, _, topic in pairs}
    if options.classes:
        found['classes'] = yaml.safe_load(options.classes.read_text())
    return found
