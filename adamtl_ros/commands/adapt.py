# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl adapt` and its options."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from adamtl_ros.bags.ground_truth import ClassMap, read_classes
from adamtl_ros.commands.bag_verbs import add_topic_options
from adamtl_ros.evaluation.evaluate import evaluate
from adamtl_ros.nn.io.checkpoint import base_digest, load_adapted, load_model, save_adapter
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.preprocess import network_size
from adamtl_ros.tasks import select
from adamtl_ros.training.build import build_dataset
from adamtl_ros.training.optim import count_trained_parameters
from adamtl_ros.training.recipe import AdapterConfig, DataConfig, Recipe, Stage
from adamtl_ros.training.run import train

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from adamtl_ros.evaluation.evaluate import Evaluation
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task

GAP = 0.05
"""Share of a recording between what is learned from and what is held out."""


@dataclass(frozen=True)
class AdaptConfig:
    """What is to be adapted to what.

    Attributes:
        base: File or name of the model.
        out: File of adapters to write; the training keeps its checkpoint beside it.
        bags: Labelled recordings.
        recipe: Whose data, validation, weights and augmentation are taken in the place of bags.
        tasks: Those to train; all with labels and the classes of the base if empty.
        adapters: Ranks, and what learns.
        steps: Of the training.
        batch: Images of a step.
        lr: Learning rate.
        holdout: Share of each bag, at its end, that is not learned from.
        budget: The lower one at which results are compared.
        options: Of the bags: topics of the camera and of ground truth, names of classes.
        seed: Of the order, the augmentation and the pairs.

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


def run_adaptation(wish: AdaptConfig) -> str:
    """Train adapters, write them, and compare on what was held out.

    Returns:
        What was trained, and a table of before and after, for people.

    Raises:
        ValueError: No labels for any task of the base, or other classes; a base that has
            adapters already; or what `train()` refuses.

    """
    base = load_model(wish.base)
    if base.network.adapters is not None:
        raise ValueError(f"base '{wish.base}' has adapters already; give the one without any")
    recipe = _recipe(wish, base)
    held_out = build_dataset(recipe.validation, workers=os.cpu_count() or 1)
    recipe = replace(recipe, tasks=_trained(wish, base, held_out))
    folder = wish.out.with_name(f'{_stem(wish.out)}.training')
    trained = train(recipe, folder)
    model = load_model(str(trained))
    network = model.network
    count = count_trained_parameters(network, recipe)
    notes = {**model.notes, 'trained_tasks': list(recipe.tasks), 'trained_parameters': count}
    save_adapter(replace(model, name=base.name), base_digest(base.network), wish.out, notes)
    found = _compare(base, wish, held_out, recipe.tasks)
    return '\n'.join([_sentence(wish, base, recipe, count), '', _table(found, base.network.tasks)])


def _recipe(wish: AdaptConfig, base: Model) -> Recipe:
    """Return the training: half of the images with everything on, half under random gates.

    With everything on alone, adapters forget how to do without parts, which the base had learned.
    The policy stays the base's.
    """
    arch = base.network.arch
    stage = Stage('backbone', wish.steps, wish.batch, arch.input_size, wish.lr, full=0.5)
    common: dict[str, Any] = {
        'name': _stem(wish.out), 'stages': (stage,), 'architecture': arch.name,
        'start': wish.base, 'pretrained': '', 'adapters': wish.adapters, 'seed': wish.seed,
    }  # fmt: skip
    if wish.recipe:
        return replace(wish.recipe, **common)
    root, *more = [str(path) for path in wish.bags]
    options = {'more': more, 'holdout': wish.holdout, 'gap': GAP, **wish.options}
    options |= _model_classes(options.get('classes', {}), base)
    whole = DataConfig('bags', root, 'val', options)
    height, width = build_dataset(whole)[0].image.shape[:2]
    size = network_size(height, width, arch.input_size, arch.stride)
    # Training images are as large as the network's: a cut of the full image would change what
    # a length in pixels means for the depth.
    learned = replace(whole, split='train', options={**options, 'size': list(size)})
    common['stages'] = (replace(stage, size=size),)
    return Recipe(data=learned, validation=whole, **common)


def _model_classes(
    classes: dict[str, list[str] | dict[int, str]], base: Model
) -> dict[str, dict[str, list[str]]]:
    """Return the option that maps the ids of a bag to the classes of the base, by id maps.

    Raises:
        ValueError: A task or class that the base does not know.

    """
    maps = ClassMap({task: one for task, one in classes.items() if isinstance(one, dict)})
    maps.check(base.network.tasks)
    found = {task: list(base.network.tasks[task].classes) for task in maps.names}
    return {'model_classes': found} if found else {}


def _trained(wish: AdaptConfig, base: Model, data: Dataset) -> tuple[str, ...]:
    """Return the tasks that can be trained, or those that are asked for.

    Raises:
        ValueError: There is none, or not these.

    """
    known = base.network.tasks
    same = [n for n in known if n in data.tasks and data.tasks[n].classes == known[n].classes]
    wanted = select(wish.tasks or same, known)
    missing = [name for name in wanted if name not in same]
    if missing or not wanted:
        raise ValueError(
            f"nothing to learn for {', '.join(missing) or 'any task'}: the model '{base.name}' has "
            f'{_named(known)}; the data has labels for {_named(data.tasks)}; tasks and classes '
            'must be the same, so name the topics with --truth, or the classes with --classes'
        )
    return tuple(wanted)


def _compare(
    base: Model, wish: AdaptConfig, held_out: Dataset, tasks: Sequence[str]
) -> list[tuple[str, Evaluation]]:
    """Score the base and what the file makes of it, at full budget and at a lower one."""
    rows = []
    for label, model in (('before', base), ('after', load_adapted(base, wish.out))):
        with tqdm(total=len(held_out), desc=label, unit='image') as bar:
            found = evaluate(Engine(model), held_out, (1.0, wish.budget), tasks, bar.update)
        rows += [(label, one) for one in found]
    return rows


def _sentence(wish: AdaptConfig, base: Model, recipe: Recipe, count: int) -> str:
    kept = [name for name in base.network.tasks if name not in recipe.tasks]
    every = sum(p.numel() for p in base.network.parameters())
    lines = [
        f'{wish.out}: {wish.out.stat().st_size / 1e3:.0f} kB, for {base.name}',
        f'trained: {", ".join(recipe.tasks)}; {count} parameters, {100 * count / every:.1f} % of '
        f'{every}',
    ]
    if kept:
        held = 'held to what the base answers' if wish.adapters.keep else 'not held, so they drift'
        lines.append(f'without labels: {", ".join(kept)}; {held}')
    return '\n'.join(lines)


def _table(rows: Sequence[tuple[str, Evaluation]], tasks: dict[str, Task]) -> str:
    names = list(rows[0][1].metrics)
    head = [f'{name} {tasks[name].metric}' for name in names]
    lines = [' | '.join(['held out', 'budget', 'share', 'ms', *head])]
    for label, row in rows:
        values = row.headline(tasks)
        shown = [f'{values[name]:.4f}' for name in names]
        lines.append(
            ' | '.join([label, f'{row.budget:.2f}', f'{row.share:.3f}', f'{row.infer_ms:.1f}'])
            + ' | '
            + ' | '.join(shown)
        )
    return '\n'.join(lines)


def _named(tasks: Any) -> str:  # noqa: ANN401
    """Return the names of tasks, with the number of classes where there are some."""
    counts = {name: f' ({len(task.classes)} classes)' for name, task in tasks.items()}
    return ', '.join(name + (counts[name] if tasks[name].classes else '') for name in tasks)


def _stem(out: Path) -> str:
    return out.name.removesuffix('.safetensors').removesuffix('.adapter')


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

    from adamtl_ros.training.recipe import AdapterConfig, read_recipe

    if not 0 < options.holdout < 1:
        raise ValueError(f'--holdout takes a share between 0 and 1, got {options.holdout}')
    if not 0 < options.budget <= 1:
        raise ValueError(f'--budget takes a share in (0, 1], got {options.budget}')
    if options.threads:
        torch.set_num_threads(options.threads)
    wish = AdaptConfig(
        options.base,
        options.out,
        tuple(options.bags or ()),
        read_recipe(options.data) if options.data else None,
        tuple(part.strip() for part in options.tasks.split(',') if part.strip()),
        AdapterConfig(options.rank, options.task_rank, keep=options.keep),
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
    found: dict[str, Any] = {}
    if options.camera:
        found['camera'] = options.camera
    if options.truth:
        pairs = [text.partition('=') for text in options.truth]
        if not all(task and topic for task, _, topic in pairs):
            raise ValueError(f'--truth takes TASK=TOPIC, got {options.truth}')
        found['truth'] = {task: topic for task, _, topic in pairs}
    if options.classes:
        found['classes'] = read_classes(options.classes)
    return found
