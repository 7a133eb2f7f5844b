# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Launch file of the perception node.

The defaults of all parameters are in `config/perception.yaml`; an empty argument leaves its
parameter to that file, or to the one given as `params_file`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from launch import LaunchContext, LaunchDescription

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULTS = Path(get_package_share_directory('adamtl_ros')) / 'config' / 'perception.yaml'
SWITCH = ['true', 'false']
KEEP = 'empty: as in params_file'
MIN_BUDGET, MAX_BUDGET = 0.01, 1.0

ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node.'),
    DeclareLaunchArgument(
        'params_file',
        default_value=str(DEFAULTS),
        description='YAML file of parameters; what it leaves out keeps the defaults.',
    ),
    DeclareLaunchArgument(
        'image',
        default_value='image',
        description='Topic of the image of the only camera, without /compressed.',
    ),
    DeclareLaunchArgument(
        'camera_info',
        default_value='camera_info',
        description='Topic of the calibration of the only camera; by default beside the image.',
    ),
    DeclareLaunchArgument(
        'cameras',
        default_value='',
        description=(
            'Names of several cameras, separated by spaces or commas: <name>/image and '
            f'<name>/camera_info are their topics, instead of image and camera_info ({KEEP}).'
        ),
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='',
        choices=['', 'raw', 'compressed'],
        description=f'Whether the image is raw or compressed ({KEEP}).',
    ),
    DeclareLaunchArgument(
        'model',
        default_value='',
        description=(
            f'Weights: indoor_lite0 (shipped), or the path of a .safetensors file ({KEEP}).'
        ),
    ),
    DeclareLaunchArgument(
        'adapter',
        default_value='',
        description=f'Path of an adapter file for that model ({KEEP}).',
    ),
    DeclareLaunchArgument(
        'device', default_value='', description=f'Torch device, or auto ({KEEP}).'
    ),
    DeclareLaunchArgument(
        'engine', default_value='', description=f'torch, openvino, or auto ({KEEP}).'
    ),
    DeclareLaunchArgument(
        'precision', default_value='', description=f'float32, bfloat16, or auto ({KEEP}).'
    ),
    DeclareLaunchArgument(
        'budget',
        default_value='',
        description=(
            'Fraction of the full MACs that frames may cost on average, '
            f'{MIN_BUDGET} to {MAX_BUDGET} ({KEEP}).'
        ),
    ),
    DeclareLaunchArgument(
        'tasks',
        default_value='',
        description=f'Enabled tasks, separated by spaces or commas ({KEEP}).',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='',
        choices=['', *SWITCH],
        description=f'Configure and activate the node at once ({KEEP}).',
    ),
    DeclareLaunchArgument(
        'use_respawn',
        default_value='false',
        choices=SWITCH,
        description='Restart the node two seconds after it has died.',
    ),
    DeclareLaunchArgument(
        'doctor',
        default_value='false',
        choices=SWITCH,
        description='Check machine, middleware and camera beside the node, by adamtl doctor.',
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='',
        choices=['', *SWITCH],
        description=f'Take the time from /clock, as for a replayed bag ({KEEP}).',
    ),
    DeclareLaunchArgument(
        'log_level',
        default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='Lowest severity of the messages to log.',
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node with those that are given."""
    buffered = SetEnvironmentVariable('RCUTILS_LOGGING_BUFFERED_STREAM', '1')
    functions = [OpaqueFunction(function=made) for made in (perception_node, doctor)]
    return LaunchDescription([*ARGUMENTS, buffered, *functions])


def perception_node(context: LaunchContext) -> list[LifecycleNode]:
    """Return the node with the values of the arguments.

    Raises:
        ValueError: Missing file, invalid budget, or contradicting arguments.

    """
    names = [argument.name for argument in ARGUMENTS]
    value = {name: LaunchConfiguration(name).perform(context) for name in names}
    check_cameras(value)
    return [
        LifecycleNode(
            package='adamtl_ros',
            executable='perception_node',
            name='adamtl',
            namespace=value['namespace'],
            parameters=[value['params_file'], overrides(value)],
            remappings=remappings(value),
            arguments=['--ros-args', '--log-level', value['log_level']],
            respawn=value['use_respawn'] == 'true',
            respawn_delay=2.0,
            output='screen',
            emulate_tty=True,
        )
    ]


def doctor(context: LaunchContext) -> list[ExecuteProcess]:
    """Return the process that checks the camera; none if it is not asked for."""
    names = ('doctor', 'image', 'namespace', 'model')
    value = {name: LaunchConfiguration(name).perform(context) for name in names}
    if value['doctor'] == 'false':
        return []
    prefix = f'/{value["namespace"].strip("/")}' if value['namespace'].strip('/') else ''
    image = value['image'] if value['image'].startswith('/') else f'{prefix}/{value["image"]}'
    command = ['adamtl', 'doctor', '--image', image, '--node', f'{prefix}/adamtl']
    command += ['--seconds', '10', *(['--model', value['model']] if value['model'] else [])]
    return [ExecuteProcess(cmd=command, name='doctor', output='screen')]


def read_parameters(path: str) -> list[dict[str, object]]:
    """Return the parameters of each section of a file that applies to the node.

    Raises:
        ValueError: No such file, or not a file of parameters.

    """
    if not Path(path).is_file():
        raise ValueError(
            f"params_file:='{path}': no such file; give the path of a YAML file, or leave the "
            f'argument out for {DEFAULTS}'
        )
    try:
        return list(node_sections(yaml.safe_load(Path(path).read_text()) or {}))
    except (yaml.YAMLError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"params_file:='{path}' is not a file of parameters: {error}") from error


def node_sections(tree: dict[str, object], name: str = '') -> Iterator[dict[str, object]]:
    """Yield the parameters of the sections, nested or not, whose name matches the node's."""
    for key, inner in tree.items():
        if key == 'ros__parameters' and name.endswith(('adamtl', '*')):
            yield inner or {}
        elif isinstance(inner, dict):
            yield from node_sections(inner, key)


def check_cameras(value: dict[str, str]) -> None:
    """Check that the topics of one camera are not given together with several cameras.

    Raises:
        ValueError: They are, or the file of parameters cannot be read.

    """
    in_file = [section.get('cameras') for section in read_parameters(value['params_file'])]
    several = split(value['cameras']) or next((c for c in in_file if c not in (None, [''])), None)
    given = [name for name in ('image', 'camera_info') if value[name] != name]
    if several and given:
        source = 'cameras:=' if value['cameras'] else f'{value["params_file"]} with cameras'
        raise ValueError(
            f"{given[0]}:='{value[given[0]]}' is the topic of the only camera, but {source} "
            f'{several} names several, with the topics <name>/{given[0]}; leave one of them out'
        )


def split(text: str) -> list[str]:
    """Return the words of a text, separated by spaces or commas."""
    return text.replace(',', ' ').split()


def budget_of(text: str) -> float:
    """Return the budget.

    Raises:
        ValueError: Not a number in its range.

    """
    try:
        budget = float(text)
    except ValueError:
        budget = float('nan')
    if not MIN_BUDGET <= budget <= MAX_BUDGET:
        raise ValueError(
            f"budget:='{text}' must be a number from {MIN_BUDGET} to {MAX_BUDGET}, the fraction "
            'of the full MACs that frames may cost'
        )
    return budget


def overrides(value: dict[str, str]) -> dict[str, object]:
    """Return the parameters that are given as arguments, with their types.

    Raises:
        ValueError: Invalid budget.

    """
    given: dict[str, object] = {}
    for name in ('image_transport', 'model', 'adapter', 'device', 'engine', 'precision'):
        if value[name]:
            given[name] = value[name]
    if value['budget']:
        given['budget'] = budget_of(value['budget'])
    for name in ('cameras', 'tasks'):
        if value[name]:
            given[name] = split(value[name])
    for name in ('autostart', 'use_sim_time'):
        if value[name]:
            given[name] = value[name] == 'true'
    return given


def remappings(value: dict[str, str]) -> list[tuple[str, str]]:
    """Return the remappings of the inputs; a compressed image has a topic of its own."""
    return [
        ('image', value['image']),
        ('image/compressed', f'{value["image"]}/compressed'),
        ('camera_info', value['camera_info']),
    ]
