# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starts the perception node.

The defaults of all parameters are in `config/perception.yaml`; an argument left empty leaves
its parameter to that file, or to the one given as `params_file`.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from launch import LaunchContext, LaunchDescription

DEFAULTS = Path(get_package_share_directory('adamtl_ros')) / 'config' / 'perception.yaml'
SWITCH = ['true', 'false']
KEEP = 'empty: as in params_file'

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
        description='Topic of the camera image, without /compressed.',
    ),
    DeclareLaunchArgument(
        'camera_info', default_value='camera_info', description='Topic of the calibration.'
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
        description=f'Path of a .safetensors file or name of an architecture ({KEEP}).',
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
        'budget',
        default_value='',
        description=f'Share of the full MACs that a frame may cost, 0.01 to 1.0 ({KEEP}).',
    ),
    DeclareLaunchArgument(
        'tasks',
        default_value='',
        description=f'Tasks that may run, separated by spaces or commas ({KEEP}).',
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
        description='Start the node again two seconds after it has died.',
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
        description='Least severity of the messages to log.',
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node with those that were given."""
    buffered = SetEnvironmentVariable('RCUTILS_LOGGING_BUFFERED_STREAM', '1')
    return LaunchDescription([*ARGUMENTS, buffered, OpaqueFunction(function=perception_node)])


def perception_node(context: LaunchContext) -> list[LifecycleNode]:
    """Make the node from the arguments' values."""
    names = [argument.name for argument in ARGUMENTS]
    value = {name: LaunchConfiguration(name).perform(context) for name in names}
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


def overrides(value: dict[str, str]) -> dict[str, object]:
    """Return the parameters that were given as arguments, with their types."""
    given: dict[str, object] = {}
    for name in ('image_transport', 'model', 'adapter', 'device'):
        if value[name]:
            given[name] = value[name]
    if value['budget']:
        given['budget'] = float(value['budget'])
    if value['tasks']:
        given['tasks'] = value['tasks'].replace(',', ' ').split()
    for name in ('autostart', 'use_sim_time'):
        if value[name]:
            given[name] = value[name] == 'true'
    return given


def remappings(value: dict[str, str]) -> list[tuple[str, str]]:
    """Return where the inputs are; a compressed image has a topic of its own beside the raw."""
    return [
        ('image', value['image']),
        ('image/compressed', f'{value["image"]}/compressed'),
        ('camera_info', value['camera_info']),
    ]
