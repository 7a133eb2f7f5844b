# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verbs of `adamtl` that make, evaluate and compare recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

BUDGETS = '1.0,0.75,0.5,0.35'


def add_bag_verbs(verbs: Any) -> None:  # noqa: ANN401  argparse does not name the type
    """Add them to the parser."""
    _evaluate_options(
        verbs.add_parser('evaluate-bag', help='how good, fast and cheap a model is on recordings')
    )
    _draw_options(verbs.add_parser('draw-bag', help='a drawn room as a bag, with what is true'))
    _compare_options(
        verbs.add_parser('compare', help='say what got better or worse between two evaluations')
    )


def add_topic_options(verb: argparse.ArgumentParser) -> None:
    """Add what says which topics of a bag are images and ground truth, and what ids mean."""
    add = verb.add_argument
    add('--camera', default='', metavar='TOPIC', help='of the images; found if not given')
    add(
        '--truth',
        nargs='+',
        action='extend',
        default=[],
        metavar='TASK=TOPIC',
        help='ground truth, besides what is found, such as /ground_truth/<task>/image',
    )
    add('--classes', type=Path, help='YAML: what the class ids of the bag mean to the model')


def _evaluate_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_evaluate, failure=2)
    add = verb.add_argument
    add('bags', type=Path, nargs='+', metavar='BAG', help='folders, or single .mcap files')
    add('--model', default='scenes_nano', help='file or name (scenes_nano)')
    add('--adapter', type=Path, help='file of `adamtl adapt` for the model')
    add('--budgets', default=BUDGETS, help=f'separated by commas ({BUDGETS}); 1.0 is added')
    add('--tasks', default='', help='separated by commas; all of the model if not given')
    add_topic_options(verb)
    add('--realtime', action='store_true', help='also what a live node would have answered in time')
    add('--shown', type=float, help='budget whose results are kept and drawn (the least)')
    add('--threads', type=int, default=1, help='of the network (1); part of the result')
    add('--workers', type=int, default=1, help='processes, each with bags of its own (1)')
    add('--ray', default='', metavar='ADDRESS', help="Ray cluster, such as 'auto'; 'local': here")
    add(
        '--recorded',
        type=Path,
        metavar='BAG',
        help='what a live node published while BAG was played to it; see replay.launch.py',
    )
    add('--out', type=Path, default=Path('evaluation'), help='folder for the results (evaluation)')


def _draw_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_draw)
    verb.add_argument('bag', type=Path, help='folder to make')
    verb.add_argument('--frames', type=int, default=150, help='at 15 Hz (150)')
    verb.add_argument('--seed', type=int, help='of a room drawn at random (that of the demo)')
    verb.add_argument(
        '--domain', default='room', help='room, or cellar: other textures, light and camera (room)'
    )


def _compare_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_compare, failure=2)
    verb.add_argument('before', type=Path, help='metrics.json')
    verb.add_argument('after', type=Path, help='metrics.json')
    verb.add_argument(
        '--threshold', type=float, default=0.01, help='relative loss that is allowed (0.01)'
    )
    verb.add_argument('--times', action='store_true', help='latencies too: same machine only')


def _evaluate(options: argparse.Namespace) -> int:
    from adamtl_ros.bags.ground_truth import ClassMap
    from adamtl_ros.commands.evaluate_bag import evaluate_bags, read_truth
    from adamtl_ros.evaluation.bags.result import EvaluationSettings

    if options.workers < 1:
        raise ValueError(f'--workers takes 1 or more, got {options.workers}')
    budgets = _budgets(options.budgets)
    settings = EvaluationSettings(
        model=options.model,
        adapter=options.adapter,
        budgets=budgets,
        tasks=_names(options.tasks),
        camera=options.camera,
        truth=read_truth(options.truth),
        classes=ClassMap.read(options.classes) if options.classes else ClassMap(),
        threads=options.threads,
        realtime=options.realtime,
        out=options.out,
        shown=budgets[-1] if options.shown is None else options.shown,
    )
    text, complete = evaluate_bags(
        options.bags, settings, options.workers, options.ray, options.recorded
    )
    print(text)
    return 0 if complete else 1


def _budgets(text: str) -> tuple[float, ...]:
    """Return budgets, full budget among them, from the largest."""
    try:
        found = {float(part) for part in text.split(',')}
    except ValueError as error:
        raise ValueError(f"--budgets takes numbers such as '{BUDGETS}', got '{text}'") from error
    return tuple(sorted({1.0, *found}, reverse=True))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(',')) if text else ()


def _draw(options: argparse.Namespace) -> None:
    from adamtl_ros.data.synthetic_bag import RATE_HZ, write_synthetic_bag
    from adamtl_ros.scenes.compose import random_scene
    from adamtl_ros.scenes.demo_scene import demo_scene
    from adamtl_ros.scenes.domains import in_domain

    if options.bag.exists():
        raise ValueError(f'{options.bag} is there already; choose another folder or remove it')
    if options.frames < 1:
        raise ValueError(f'--frames takes 1 or more, got {options.frames}')
    length = options.frames / RATE_HZ
    drawn = demo_scene(length) if options.seed is None else random_scene(options.seed)
    scene = in_domain(drawn, options.domain)
    write_synthetic_bag(options.bag, scene, frames=options.frames, truth=True)
    print(f'in {options.bag}: {options.frames} images, and ground truth of all tasks')


def _compare(options: argparse.Namespace) -> int:
    from adamtl_ros.evaluation.bags import compare
    from adamtl_ros.evaluation.bags.compare import comparison_table, regressions

    if not options.threshold >= 0:
        raise ValueError(f'--threshold takes a relative loss of 0 or more, got {options.threshold}')
    before, after = map(compare.read_summary, (options.before, options.after))
    changes = compare.compare(before, after, times=options.times)
    print(comparison_table(changes))
    for sentence in compare.differences_in_setup(before, after):
        print(f'note: {sentence}')
    lost = compare.losses(before, after)
    worse = regressions(changes, options.threshold)
    if worse:
        names = ', '.join(f'{change.name} at {change.budget:g}' for change in worse)
        lost.append(f'worse by more than {100 * options.threshold:g} % and beyond noise: {names}')
    for sentence in lost:
        print(f'REGRESSION: {sentence}')
    return 1 if lost else 0
