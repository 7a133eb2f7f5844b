# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl adapt`: train low-rank adapters on a labelled recording, and compare.

Labels are those of `LabelledBag`: a depth camera beside the color camera is enough.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.commands.evaluate import metric_names, metric_values
from adamtl_ros.commands.options import (
    ADAPTED_WEIGHTS,
    add_model_option,
    add_topic_options,
    parse_names,
    parse_truth,
)
from adamtl_ros.labels import MAX_DEPTH_M
from adamtl_ros.training.recipe import AdapterConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from adamtl_ros.evaluation.evaluate import Evaluation
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import Recipe

SUFFIX = '.adapter.safetensors'
GAP = 0.05
"""Fraction of a recording between its training part and its held-out part."""


@dataclass(frozen=True)
class AdaptConfig:
    """Settings of an adaptation.

    Attributes:
        base: File or name of the model to adapt.
        out: Adapter file to write; the checkpoint of the training is written beside it.
        bags: Labelled recordings.
        recipe: Recipe whose data, validation data, task weights and augmentation replace the
            bags; None to use the bags.
        tasks: Names of the tasks to train; if empty, all that have labels with the classes of
            the base.
        adapters: Ranks of the adapters, and the parts of the network that are trained.
        steps: Number of optimizer steps.
        batch: Number of images in a step.
        lr: Learning rate.
        holdout: Fraction of each bag, at its end, that is kept for the comparison.
        budget: Lower budget of the comparison, besides 1.0.
        options: Options of `LabelledBag`: topics of camera and ground truth, class names.
        seed: Seed of data order, augmentation and adapter weights.

    """

    base: str
    out: Path
    bags: tuple[Path, ...] = ()
    recipe: Recipe | None = None
    tasks: tuple[str, ...] = ()
    adapters: AdapterConfig = field(default_factory=AdapterConfig)
    steps: int = 400
    batch: int = 8
    lr: float = 4e-3
    holdout: float = 0.2
    budget: float = 0.57
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    default, adapters, add = AdaptConfig, AdapterConfig, parser.add_argument
    add('bags', type=Path, nargs='*', metavar='BAG', help='bags with labels or a depth camera')
    add('--bag', dest='more_bags', type=Path, action='append', default=[], help='the same')
    add('--data', type=Path, metavar='RECIPE', help='recipe whose data replace the bags')
    add_model_option(parser, '--base', ADAPTED_WEIGHTS)
    add('--out', type=Path, help='file to write; <name of the bag>.adapter.safetensors')
    add('--tasks', default='', help='separated by commas; all that have labels if not given')
    _number(parser, '--rank', adapters.rank, 'rank of the shared adapters')
    _number(parser, '--task-rank', adapters.task_rank, 'rank of the task-specific ones; 0 for none')
    _number(parser, '--steps', default.steps, 'number of optimizer steps')
    _number(parser, '--batch', default.batch, 'images in a step')
    _number(parser, '--lr', default.lr, 'learning rate')
    _number(parser, '--seed', default.seed, 'seed of the training')
    add('--threads', type=int, help="CPU threads; torch's default if not given")
    _number(parser, '--holdout', default.holdout, 'fraction of each bag, its end, to compare on')
    _number(parser, '--budget', default.budget, 'lower budget of the comparison')
    _number(
        parser,
        '--keep',
        adapters.keep,
        'weight of the distillation that keeps tasks without labels as in the base',
    )
    add_topic_options(parser)


def _number(parser: argparse.ArgumentParser, name: str, default: float, help_: str) -> None:
    parser.add_argument(name, type=type(default), default=default, help=f'{help_} ({default:g})')


def run(options: argparse.Namespace) -> None:
    """Adapt, and print a summary and the comparison.

    Raises:
        ValueError: An option that cannot be used, or see `run_adaptation()`.

    """
    import torch

    from adamtl_ros.bags.reader import bag_name
    from adamtl_ros.training.recipe import read_recipe

    bags = (*options.bags, *options.more_bags)
    if bool(bags) == bool(options.data):
        raise ValueError('give either bags, adamtl adapt BAG ..., or a recipe with --data')
    if not 0 < options.holdout < 1:
        raise ValueError(f'--holdout takes a fraction between 0 and 1, got {options.holdout}')
    if not 0 < options.budget <= 1:
        raise ValueError(f'--budget takes a fraction in (0, 1], got {options.budget}')
    if options.threads:
        torch.set_num_threads(options.threads)
    config = AdaptConfig(
        base=options.base,
        out=options.out or Path(f'{bag_name(bags[0] if bags else options.data)}{SUFFIX}'),
        bags=bags,
        recipe=read_recipe(options.data) if options.data else None,
        tasks=parse_names(options.tasks),
        adapters=AdapterConfig(options.rank, options.task_rank, keep=options.keep),
        steps=options.steps,
        batch=options.batch,
        lr=options.lr,
        holdout=options.holdout,
        budget=options.budget,
        options=_bag_options(options),
        seed=options.seed,
    )
    print(run_adaptation(config))


def _bag_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `LabelledBag` that are not its defaults."""
    from adamtl_ros.bags.ground_truth import read_classes

    bag_options: dict[str, Any] = {}
    if options.max_depth != MAX_DEPTH_M:
        bag_options['max_depth'] = options.max_depth
    if options.camera:
        bag_options['camera'] = options.camera
    if options.truth:
        bag_options['truth'] = parse_truth(options.truth)
    if options.classes:
        bag_options['classes'] = read_classes(options.classes)
    return bag_options


def run_adaptation(config: AdaptConfig) -> str:
    """Train adapters, write them, and compare base and adapted model on held-out data.

    Args:
        config: Settings of the adaptation.

    Returns:
        Human-readable summary of the training, and a table of before and after.

    Raises:
        ValueError: No labels for any task of the base, or other classes; a base that has
            adapters already; or an error of `train()`.

    """
    from adamtl_ros.files import check_writable
    from adamtl_ros.nn.io.checkpoint import base_digest, load_model, save_adapter
    from adamtl_ros.training.build import build_dataset
    from adamtl_ros.training.optim import count_trained_parameters
    from adamtl_ros.training.run import train

    base = load_model(config.base)
    if base.network.adapters is not None:
        raise ValueError(f"base '{config.base}' has adapters already; give the one without any")
    check_writable(config.out)
    recipe = _recipe(config, base)
    held_out = build_dataset(recipe.validation, workers=os.cpu_count() or 1)
    recipe = replace(recipe, tasks=_trained_tasks(config, base, held_out))
    folder = config.out.with_name(f'{_stem(config.out)}.training')
    model = load_model(str(train(recipe, folder)))
    count = count_trained_parameters(model.network, recipe)
    notes = {**model.notes, 'trained_tasks': list(recipe.tasks), 'trained_parameters': count}
    save_adapter(replace(model, name=base.name), base_digest(base.network), config.out, notes)
    rows = _compare(base, config, held_out, recipe.tasks)
    return '\n'.join([_summary(config, base, recipe, count), '', _table(rows, base.network.tasks)])


def _recipe(config: AdaptConfig, base: Model) -> Recipe:
    """Return the recipe: half of each batch at full compute, half under random gates.

    Adapters trained at full compute alone would lower the accuracy at smaller budgets. The policy
    stays that of the base.
    """
    from adamtl_ros.runtime.pre_post_processing import network_size
    from adamtl_ros.training.build import build_dataset
    from adamtl_ros.training.recipe import DataConfig, Recipe, Stage

    arch = base.network.arch
    stage = Stage('backbone', config.steps, config.batch, arch.input_size, config.lr, full=0.5)
    common: dict[str, Any] = {
        'name': _stem(config.out),
        'stages': (stage,),
        'architecture': arch.name,
        'start': config.base,
        'pretrained': '',
        'adapters': config.adapters,
        'seed': config.seed,
        'focal': base.focal,
    }
    if config.recipe:
        return replace(config.recipe, **common)
    root, *more = [str(path) for path in config.bags]
    options = {'more': more, 'holdout': config.holdout, 'gap': GAP, **config.options}
    options |= _model_classes(options.get('classes', {}), base)
    validation = DataConfig('bags', root, 'val', options)
    height, width = build_dataset(validation)[0].image.shape[:2]
    size = network_size(height, width, arch.input_size, arch.stride)
    # Training images have the size of the network input: a crop of the full image would change
    # the relation of pixels to meters, which depth relies on.
    data = replace(validation, split='train', options={**options, 'size': list(size)})
    common['stages'] = (replace(stage, size=size),)
    return Recipe(data=data, validation=validation, **common)


def _model_classes(
    classes: Mapping[str, list[str] | dict[int, str]], base: Model
) -> dict[str, dict[str, list[str]]]:
    """Return the option that maps the ids of a bag to the classes of the base, by id maps.

    Raises:
        ValueError: A task or class that the base does not know.

    """
    from adamtl_ros.bags.ground_truth import ClassMap

    maps = ClassMap({task: ids for task, ids in classes.items() if isinstance(ids, dict)})
    maps.check(base.network.tasks)
    names = {task: list(base.network.tasks[task].classes) for task in maps.names}
    return {'model_classes': names} if names else {}


def _trained_tasks(config: AdaptConfig, base: Model, data: Dataset) -> tuple[str, ...]:
    """Return the requested tasks, or all that can be trained.

    Raises:
        ValueError: No task, or a requested one, can be trained.

    """
    from adamtl_ros.tasks import select

    known = base.network.tasks
    same = [n for n in known if n in data.tasks and data.tasks[n].classes == known[n].classes]
    requested = select(config.tasks or same, known)
    missing = [name for name in requested if name not in same]
    if missing or not requested:
        raise ValueError(
            f"nothing to learn for {', '.join(missing) or 'any task'}: the model '{base.name}' has "
            f'{_describe(known)}; the data has labels for {_describe(data.tasks)}; tasks and '
            'classes must be the same, so name the topics with --truth, or the classes with '
            '--classes'
        )
    return tuple(requested)


def _describe(tasks: Mapping[str, Task]) -> str:
    """Return the names of tasks, with the number of classes of label tasks."""
    return ', '.join(
        f'{name} ({len(task.classes)} classes)' if task.classes else name
        for name, task in tasks.items()
    )


def _compare(
    base: Model, config: AdaptConfig, held_out: Dataset, tasks: Sequence[str]
) -> list[tuple[str, Evaluation]]:
    """Score the base and the adapted model, at full budget and at a lower one."""
    from tqdm import tqdm

    from adamtl_ros.evaluation.evaluate import evaluate
    from adamtl_ros.nn.io.checkpoint import load_adapted
    from adamtl_ros.runtime.engine import Engine

    rows = []
    for label, model in (('before', base), ('after', load_adapted(base, config.out))):
        with tqdm(total=len(held_out), desc=label, unit='image') as bar:
            scored = evaluate(Engine(model), held_out, (1.0, config.budget), tasks, bar.update)
        rows += [(label, evaluation) for evaluation in scored]
    return rows


def _summary(config: AdaptConfig, base: Model, recipe: Recipe, count: int) -> str:
    unlabelled = [name for name in base.network.tasks if name not in recipe.tasks]
    total = sum(parameter.numel() for parameter in base.network.parameters())
    lines = [
        f'{config.out}: {config.out.stat().st_size / 1e3:.0f} kB, for {base.name}',
        f'trained: {", ".join(recipe.tasks)}; {count} parameters, {100 * count / total:.1f} % of '
        f'{total}',
    ]
    if unlabelled:
        kept = config.adapters.keep > 0
        how = 'held to the outputs of the base' if kept else 'not held to the base'
        lines.append(f'without labels: {", ".join(unlabelled)}; {how}')
    return '\n'.join(lines)


def _table(rows: Sequence[tuple[str, Evaluation]], tasks: Mapping[str, Task]) -> str:
    heads = ['held out', 'budget', 'share', 'ms', *metric_names(rows[0][1], tasks)]
    cells = [
        [
            label,
            f'{row.budget:.2f}',
            f'{row.share:.3f}',
            f'{row.infer_ms:.1f}',
            *metric_values(row, tasks),
        ]
        for label, row in rows
    ]
    return '\n'.join(' | '.join(line) for line in (heads, *cells))


def _stem(out: Path) -> str:
    return out.name.removesuffix('.safetensors').removesuffix('.adapter')
