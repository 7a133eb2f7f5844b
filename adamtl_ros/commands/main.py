# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command `adamtl`: one verb for each thing that people do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.commands.adapt import add_adapt_verb
from adamtl_ros.commands.bag_verbs import add_bag_verbs

if TYPE_CHECKING:
    from collections.abc import Sequence

NEEDS = {
    'demo': "ROS 2, this package built in a workspace, and pip install 'adamtl_ros[demo]'",
    'train': "pip install 'adamtl_ros[train]'",
    'adapt': "pip install 'adamtl_ros[train]'",
    'evaluate': "pip install 'adamtl_ros[train]'",
    'calibrate': "pip install 'adamtl_ros[train]'",
    'import-mtlora': "pip install 'adamtl_ros[train]'",
    'simulate-governor': "pip install 'adamtl_ros[train]'",
    'evaluate-bag': "pip install 'adamtl_ros[bags]', and 'adamtl_ros[fleet]' for --ray",
    'draw-bag': "pip install 'adamtl_ros[train]'",
    'compare': "pip install 'adamtl_ros[bags]'",
}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Arguments; those of the process if not given.

    Returns:
        Exit status: 0; 1 with a sentence on the standard error stream. It is 2 there for `adapt`,
        and for `compare` and `evaluate-bag`, whose 1 says that something is worse, or that some
        bags could not be evaluated.

    """
    options = _parser().parse_args(args)
    try:
        status: int | None = options.run(options)
    except ModuleNotFoundError as error:
        print(
            f"adamtl {options.verb}: '{error.name}' is missing: this needs "
            f"{NEEDS[options.verb]}; 'make setup' in a checkout sets all of it up",
            file=sys.stderr,
        )
        return 1
    except (ValueError, OSError, RuntimeError) as error:
        print(f'adamtl {options.verb}: {error}', file=sys.stderr)
        return getattr(options, 'failure', 1)
    except KeyboardInterrupt:
        print(f'adamtl {options.verb}: stopped', file=sys.stderr)
        return 130
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='adamtl', description=__doc__)
    verbs = parser.add_subparsers(dest='verb', metavar='verb', required=True)
    _demo_options(
        verbs.add_parser('demo', help='play a camera bag through the node and draw the results')
    )
    _train_options(verbs.add_parser('train', help='train a network by a recipe'))
    _evaluate_options(verbs.add_parser('evaluate', help='score a model on labelled images'))
    _calibrate_options(
        verbs.add_parser('calibrate', help='fit the budgets of a model to images of your own')
    )
    _import_options(
        verbs.add_parser('import-mtlora', help='make a model of a released MTLoRA checkpoint')
    )
    _simulate_options(
        verbs.add_parser('simulate-governor', help='play hours of battery, heat and load')
    )
    add_adapt_verb(verbs)
    add_bag_verbs(verbs)
    return parser


def _demo_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_demo)
    verb.add_argument('--bag', type=Path, help='MCAP or SQLite3 bag; a drawn room if not given')
    verb.add_argument('--topic', default='', help='image topic of the bag; found if not given')
    verb.add_argument(
        '--out', type=Path, default=Path('demo_out'), help='folder for the results (demo_out)'
    )
    verb.add_argument('--color', action='store_true', help='record the color topics too')
    verb.add_argument(
        '--scenario',
        default='',
        help='battery and heat of a simulated device meanwhile: a file, or glasses_in_summer, ...',
    )
    verb.add_argument(
        '-p',
        dest='parameters',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='parameter of the node, such as budget:=0.5; may be repeated',
    )


def _train_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_train)
    _recipe_options(verb)
    verb.add_argument(
        '--out', type=Path, help='folder for checkpoint and model; runs/<name> if not given'
    )
    verb.add_argument('--steps', type=int, help='stop after so many; the next call goes on')


def _evaluate_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_evaluate)
    _recipe_options(verb)
    verb.add_argument('--model', default='scenes_nano', help='file or name (scenes_nano)')
    verb.add_argument('--adapter', type=Path, help='file of `adamtl adapt` for the model')
    verb.add_argument('--budgets', default='1.0,0.75,0.57,0.5,0.4', help='separated by commas')
    verb.add_argument('--threads', type=int, default=1, help='of the network (1)')
    verb.add_argument('--out', type=Path, help='JSON file for all values')


def _calibrate_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_calibrate)
    verb.add_argument('--model', default='scenes_nano', help='file or name (scenes_nano)')
    verb.add_argument('--bag', type=Path, required=True, help='camera bag, as the robot sees')
    verb.add_argument('--topic', default='', help='image topic of the bag; found if not given')
    verb.add_argument('--images', type=int, default=256, help='as many, spread evenly (256)')
    verb.add_argument('--out', type=Path, required=True, help='model file to write')


def _import_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_import)
    verb.add_argument('file', type=Path, help='.pth file of MTLoRA or MTLoRA+')
    verb.add_argument('--out', type=Path, required=True, help='model file to write')
    verb.add_argument(
        '--input-size',
        type=int,
        nargs=2,
        default=(448, 448),
        metavar=('HEIGHT', 'WIDTH'),
        help='that it was trained for (448 448)',
    )
    verb.add_argument('--scale', type=float, default=4.0, help='of shared adapters (4)')
    verb.add_argument('--task-scale', type=float, default=4.0, help='of those of tasks (4)')


def _simulate_options(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_simulate)
    verb.add_argument('scenario', type=Path, help='YAML file, such as config/scenarios/*')
    verb.add_argument('--out', type=Path, help='picture to write; <scenario>.png if not given')


def _recipe_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument('--config', type=Path, required=True, help='recipe, such as config/train/*')
    verb.add_argument(
        '--set',
        dest='changes',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='entry of the recipe to replace, such as stages.0.steps=100; may be repeated',
    )


def _demo(options: argparse.Namespace) -> None:
    from adamtl_ros.demo.main import run_demo

    run_demo(
        options.bag,
        options.out,
        topic=options.topic,
        color=options.color,
        overrides=dict(_assignment(text, ':=', '-p') for text in options.parameters),
        scenario=options.scenario,
    )


def _train(options: argparse.Namespace) -> None:
    from adamtl_ros.training.run import train

    recipe = _recipe(options)
    folder = options.out or Path('runs') / recipe.name
    model = train(recipe, folder, options.steps)
    print(f'in {folder}: {model.name if model else "a checkpoint; the same command goes on"}')


def _evaluate(options: argparse.Namespace) -> None:
    from adamtl_ros.commands.verbs import run_evaluation

    budgets = [float(text) for text in options.budgets.split(',')]
    print(
        run_evaluation(
            options.model, _recipe(options), budgets, options.threads, options.out, options.adapter
        )
    )


def _calibrate(options: argparse.Namespace) -> None:
    from adamtl_ros.commands.verbs import run_calibration

    print(run_calibration(options.model, options.bag, options.topic, options.images, options.out))


def _import(options: argparse.Namespace) -> None:
    from adamtl_ros.commands.import_mtlora import run_import

    size = (options.input_size[0], options.input_size[1])
    print(run_import(options.file, options.out, size, options.scale, options.task_scale))


def _simulate(options: argparse.Namespace) -> None:
    from adamtl_ros.commands.simulate_governor import play

    print(play(options.scenario, options.out or Path(f'{options.scenario.stem}.png')))


def _recipe(options: argparse.Namespace) -> Any:  # noqa: ANN401
    from adamtl_ros.training.recipe import read_recipe

    changes = dict(_assignment(text, '=', '--set') for text in options.changes)
    return read_recipe(
        options.config, {name: _yaml(name, value) for name, value in changes.items()}
    )


def _yaml(name: str, text: str) -> Any:  # noqa: ANN401
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {name}: '{text}' is not YAML") from error


def _assignment(text: str, sign: str, option: str) -> tuple[str, str]:
    name, assigned, value = text.partition(sign)
    if not (name and assigned and value):
        raise ValueError(f"{option} takes NAME{sign}VALUE, got '{text}'")
    return name, value
