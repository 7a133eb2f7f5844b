# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Command-line options that several verbs share: recipes, topics of a bag, budgets, tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.labels import MAX_DEPTH_M
from adamtl_ros.text import quote

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from adamtl_ros.sources.frame import Source
    from adamtl_ros.training.recipe import Recipe


ADAPTED_WEIGHTS = 'scenes_nano'
"""Weights that `adapt` takes if none are named: adapters fit Swin encoders only."""


def add_model_option(
    parser: argparse.ArgumentParser, name: str = '--model', default: str = ''
) -> None:
    """Add the option for the model; by default, that of `load_model()`."""
    from adamtl_ros.nn.io.checkpoint import DEFAULT_WEIGHTS

    default = default or DEFAULT_WEIGHTS
    parser.add_argument(name, default=default, help=f'file or name of a model ({default})')


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the engine and its precision; by default, the reference."""
    from adamtl_ros.engines.backend import ENGINES, PRECISIONS

    add = parser.add_argument
    add('--engine', choices=ENGINES, default='torch', help='engine that runs the network (torch)')
    add('--precision', choices=PRECISIONS, default='float32', help='of the engine (float32)')


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `recipe_from()` reads."""
    parser.add_argument('--config', type=Path, required=True, help='recipe, as in config/train/')
    add_change_option(parser)


def add_change_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that `changes_from()` reads."""
    parser.add_argument(
        '--set',
        dest='changes',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='entry of the recipe to replace, such as stages.0.steps=100; may be repeated',
    )


def recipe_from(options: argparse.Namespace) -> Recipe:
    """Read the recipe, with the changes of `--set`."""
    from adamtl_ros.training.recipe import read_recipe

    return read_recipe(options.config, changes_from(options))


def changes_from(options: argparse.Namespace) -> dict[str, Any]:
    """Return the entries of a recipe that `--set` replaces."""
    changes = dict(assignment(text, '=', '--set') for text in options.changes)
    return {name: _yaml(name, value) for name, value in changes.items()}


def _yaml(name: str, text: str) -> Any:
    from adamtl_ros.config import ConfigError, parse_yaml

    try:
        return parse_yaml(text, quote(text))
    except ConfigError as error:
        raise ValueError(f'--set {name}: {quote(text)} is not YAML') from error


def add_topic_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the topics of a labelled bag and the meaning of what they hold."""
    add = parser.add_argument
    add('--camera', default='', metavar='TOPIC', help='image topic; found if not given')
    add(
        '--truth',
        nargs='+',
        action='extend',
        default=[],
        metavar='TASK=TOPIC',
        help='ground truth, in addition to /ground_truth/<task>/image',
    )
    add('--classes', type=Path, help='YAML file with the class names of the ids in the bag')
    add(
        '--max-depth',
        type=float,
        default=MAX_DEPTH_M,
        metavar='METERS',
        help=f'greatest depth of the ground truth that is believed ({MAX_DEPTH_M:g})',
    )


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `source_from()` reads."""
    add = parser.add_argument
    add(
        'input',
        help='picture, folder of pictures, video, bag, number of a webcam, or address (rtsp://...)',
    )
    add('--topic', default='', help='image topic of a bag; found if not given')
    add('--rate', type=float, default=0.0, help='pictures per second of a folder (2)')
    add('--fov', type=float, default=0.0, help='horizontal field of view of the camera [degrees]')
    add('--calibration', type=Path, help='YAML file of camera_calibration, instead of --fov')


def source_from(options: argparse.Namespace) -> Source:
    """Open the source of images, with the calibration that the options give.

    Raises:
        ValueError: An input or a calibration that cannot be used.

    """
    from adamtl_ros.sources.calibration import from_field_of_view, read_calibration
    from adamtl_ros.sources.find import open_source

    if options.rate < 0:
        raise ValueError(f'--rate takes a positive number [Hz], got {options.rate:g}')
    if options.fov and options.calibration:
        raise ValueError('--fov and --calibration exclude each other')
    source = open_source(options.input, options.topic, options.rate)
    if options.calibration:
        source.calibration = read_calibration(options.calibration)
    elif options.fov:
        from_field_of_view(options.fov, 1, 1)  # checks it
        source.calibration, source.fov_deg = None, options.fov
    return source


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the address of the page."""
    add = parser.add_argument
    add(
        '--host',
        default='127.0.0.1',
        help='address to serve the page on; 0.0.0.0 lets other devices in, such as a phone',
    )
    add('--port', type=int, default=8765, help='port of the page (8765); 0: any')


def parse_truth(texts: Sequence[str]) -> dict[str, str]:
    """Return topics by task from texts such as 'depth=/camera/depth/image_raw'.

    Raises:
        ValueError: A text of another form, or an unknown task.

    """
    from adamtl_ros.tasks import TASKS, select

    topics = {}
    for text in texts:
        task, equals, topic = text.partition('=')
        if not (equals and topic):
            raise ValueError(f"--truth takes TASK=TOPIC, got '{text}'")
        topics[task] = topic
    select(topics, TASKS)
    return topics


def parse_budgets(text: str, example: Sequence[float]) -> list[float]:
    """Return the numbers of a `--budgets` option.

    Raises:
        ValueError: A part that is no number.

    """
    try:
        return [float(part) for part in text.split(',')]
    except ValueError as error:
        raise ValueError(
            f"--budgets takes numbers such as '{join(example)}', got '{text}'"
        ) from error


def join(values: Sequence[float]) -> str:
    """Return numbers as an option takes them, separated by commas."""
    return ','.join(map(str, values))


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names in a text, separated by commas."""
    return tuple(part.strip() for part in text.split(',') if part.strip())


def assignment(text: str, sign: str, option: str) -> tuple[str, str]:
    """Return name and value of an option such as `-p budget:=0.5`.

    Raises:
        ValueError: A text of another form.

    """
    name, assigned, value = text.partition(sign)
    if not (name and assigned and value):
        raise ValueError(f"{option} takes NAME{sign}VALUE, got '{text}'")
    return name, value
