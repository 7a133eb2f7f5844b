# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command `adamtl`: table of verbs, parser and error messages."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from adamtl_ros.text import one_line, reason

if TYPE_CHECKING:
    from collections.abc import Sequence


class Verb(NamedTuple):
    """A verb of the command.

    Attributes:
        help: Line in `adamtl --help`.
        extra: Optional dependencies of the package (`pyproject.toml`) that it needs.
        also: Further requirements.
        failure: Exit status when it fails.

    """

    help: str
    extra: str = ''
    also: str = ''
    failure: int = 1


VERBS = {
    'run': Verb('run the network on any picture, video or camera, without ROS', 'run'),
    'demo': Verb(
        'play a camera bag through the node and draw the results',
        'demo',
        'ROS 2, this package built in a workspace',
    ),
    'view': Verb('show a running node in the browser', '', 'ROS 2'),
    'play': Verb('publish any picture, video, bag or webcam as a ROS camera', '', 'ROS 2'),
    'doctor': Verb('check machine, middleware and camera, and say what to do'),
    'train': Verb('train a network by a recipe', 'train'),
    'evaluate': Verb('score a model on labelled images', 'evaluate'),
    'calibrate': Verb('fit the budgets of a model to images of your own', failure=2),
    'engines': Verb('time the engines of this machine on a model, and check their results'),
    'import-mtlora': Verb('convert a released MTLoRA checkpoint to a model file', failure=2),
    'simulate-governor': Verb('simulate hours of battery, heat and load', 'simulate'),
    'adapt': Verb('adapt a model to a robot by a small adapter file', 'train', failure=2),
    'evaluate-bag': Verb(
        'measure accuracy, latency and compute of a model on recordings',
        'bags',
        "'adamtl_ros[fleet]' for --ray",
        failure=2,
    ),
    'draw-bag': Verb('write a bag of a synthetic room with ground truth', 'scenes'),
    'compare': Verb(
        'list improvements and regressions between two evaluations of bags', 'bags', failure=2
    ),
}
"""The verbs by name; the module of each is `adamtl_ros.commands.<name>`, '-' replaced by '_'."""

INTERRUPTED = 130
MESSAGE_LIMIT = 4000
"""Largest number of characters of a message."""
TRACEBACK = 'ADAMTL_TRACEBACK'
"""Environment variable that asks for the traceback of an error."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Command-line arguments; those of the process if not given.

    Returns:
        Exit status: 0 on success. On failure a sentence goes to standard error and the status is
        1, or 2 for `adapt`, `calibrate`, `compare`, `evaluate-bag` and `import-mtlora`: status 1
        of `compare` means a regression, of `evaluate-bag` that some bags could not be evaluated.
        `ADAMTL_TRACEBACK=1` shows where an error comes from.

    """
    arguments = list(sys.argv[1:] if args is None else args)
    name = arguments[0] if arguments and arguments[0] in VERBS else ''
    try:
        options = _parser(name).parse_args(arguments)
        status: int | None = options.run(options)
    except ModuleNotFoundError as error:
        print(f'adamtl {name}: {_missing(name, error)}', file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f'adamtl {name}: {_sentence(error)}', file=sys.stderr)
        return VERBS[name].failure
    except KeyboardInterrupt:
        print(f'adamtl {name}: stopped', file=sys.stderr)
        return INTERRUPTED
    return status or 0


def _parser(chosen: str) -> argparse.ArgumentParser:
    """Return the parser of all verbs, with the options of the chosen one."""
    parser = argparse.ArgumentParser(
        prog='adamtl', description='Adaptive multi-task perception: train, evaluate, adapt, demo.'
    )
    verbs = parser.add_subparsers(dest='verb', metavar='verb', required=True)
    for name, verb in VERBS.items():
        options = verbs.add_parser(name, help=verb.help)
        if name == chosen:
            module = import_module(f'adamtl_ros.commands.{name.replace("-", "_")}')
            module.add_options(options)
            options.set_defaults(run=module.run)
    return parser


def _sentence(error: Exception) -> str:
    """Return what an error says, without control characters of the files it is about."""
    if not isinstance(error, (ValueError, OSError, RuntimeError)) or not str(error):
        return f'{reason(error)} ({TRACEBACK}=1 shows where)'
    lines = str(error)[: MESSAGE_LIMIT + 1].split('\n')
    return '\n'.join(one_line(line, MESSAGE_LIMIT) for line in lines)


def _missing(name: str, error: ModuleNotFoundError) -> str:
    """Return what to install for a verb whose import failed."""
    verb = VERBS[name]
    package = f"'adamtl_ros[{verb.extra}]'" if verb.extra else 'adamtl_ros'
    install = f'pip install {package}' + (f', and {verb.also}' if verb.also else '')
    return (
        f"'{error.name}' is missing: this needs {install}; 'make setup' in a checkout sets all of "
        'it up'
    )


if __name__ == '__main__':
    sys.exit(main())
