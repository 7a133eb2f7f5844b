# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plays a bag to the perception node, records what it answers, and evaluates the recording.

Needs rosbag2 (`ros2 bag`). Player and node share the bag's clock. The player starts when the node
is active; when it is through, the recorder is stopped and `adamtl evaluate-bag` writes a report.
"""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT

from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState, StateTransition
from lifecycle_msgs.msg import Transition

from launch import Event, LaunchContext, LaunchDescription

PERCEPTION = Path(get_package_share_directory('adamtl_ros')) / 'launch' / 'perception.launch.py'
RESULTS = '/adamtl/(compute_stats|[a-z_]+/(image|label_info))'
"""What is recorded; the node computes a task because somebody subscribes to it."""

FAILURES = (('configuring', 'unconfigured'), ('activating', 'inactive'))
"""Transitions back; the node has said why."""

DRAIN_S = 2.0
"""Time for the last answers after the last image."""

ARGUMENTS = [
    DeclareLaunchArgument('bag', description='Bag to play.'),
    DeclareLaunchArgument('image', description='Its image topic, without /compressed.'),
    DeclareLaunchArgument(
        'camera_info', default_value='camera_info', description='Its calibration topic.'
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='raw',
        choices=['raw', 'compressed'],
        description='Whether the images of the bag are raw or compressed.',
    ),
    DeclareLaunchArgument('model', default_value='scenes_nano', description='File or name.'),
    DeclareLaunchArgument('budget', default_value='1.0', description='Share of the full MACs.'),
    DeclareLaunchArgument('rate', default_value='1.0', description='Speed of the playback.'),
    DeclareLaunchArgument(
        'classes', default_value='', description='YAML: what the class ids of the bag mean.'
    ),
    DeclareLaunchArgument(
        'out', default_value='replay', description='Folder for the recording and the report.'
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the rest needs their values."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=replay)])


def replay(context: LaunchContext) -> list[object]:
    """Start node and recorder, then the player; then evaluate, and end."""
    names = [argument.name for argument in ARGUMENTS]
    value = {name: LaunchConfiguration(name).perform(context) for name in names}
    recorded = str(Path(value['out']) / 'recorded')
    recorder = ExecuteProcess(cmd=record_command(recorded), name='recorder', output='screen')
    player = ExecuteProcess(cmd=play_command(value), name='player', output='screen')
    report = ExecuteProcess(cmd=report_command(value, recorded), name='report', output='screen')
    stop = EmitEvent(
        event=SignalProcess(signal_number=SIGINT, process_matcher=matches_action(recorder))
    )
    return [
        recorder,
        *start_before(player),
        perception(value),
        _change(Transition.TRANSITION_CONFIGURE),
        _after(player, TimerAction(period=DRAIN_S, actions=[stop])),
        _after(recorder, report),
        _after(report, *_end('the report is written')),
    ]


def start_before(player: ExecuteProcess) -> list[RegisterEventHandler]:
    """Activate the node once it is configured, then start the player; end if the node fails.

    The node does not start itself, since it could be active before anybody here listens.
    """
    activate = _change(Transition.TRANSITION_ACTIVATE)
    failed = _end('the node cannot be started, so there is no replay')
    handlers = [
        OnStateTransition(start_state='configuring', goal_state='inactive', entities=[activate]),
        OnStateTransition(goal_state='active', entities=[player]),
        OnStateTransition(matcher=has_failed, entities=failed),
        OnProcessExit(target_action=_is_node, on_exit=_end_early),
    ]
    return [RegisterEventHandler(handler) for handler in handlers]


def has_failed(event: Event) -> bool:
    """Return whether an event says that the node does not become active."""
    if not isinstance(event, StateTransition):
        return False
    went = (event.start_state, event.goal_state)
    return went in FAILURES or event.goal_state == 'errorprocessing'


def perception(value: dict[str, str]) -> IncludeLaunchDescription:
    """Include the node, on the clock of the bag, unconfigured."""
    shared = ('image', 'camera_info', 'image_transport', 'model', 'budget')
    arguments = {name: value[name] for name in shared}
    arguments |= {'autostart': 'false', 'use_sim_time': 'true'}
    source = PythonLaunchDescriptionSource(str(PERCEPTION))
    return IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))


def play_command(value: dict[str, str]) -> list[str]:
    """Return what plays the bag and publishes its clock."""
    return ['ros2', 'bag', 'play', value['bag'], '--clock', '100', '--rate', value['rate']]


def record_command(recorded: str) -> list[str]:
    """Return what records all that the node publishes, but for the pictures for people."""
    return ['ros2', 'bag', 'record', '--storage', 'mcap', '--use-sim-time', '--output', recorded,
            '--regex', RESULTS]  # fmt: skip


def report_command(value: dict[str, str], recorded: str) -> list[str]:
    """Return what makes the report, of the camera that was played."""
    suffix = '/compressed' if value['image_transport'] == 'compressed' else ''
    command = ['adamtl', 'evaluate-bag', value['bag'], '--recorded', recorded]
    command += ['--camera', value['image'] + suffix, '--model', value['model']]
    command += ['--classes', value['classes']] if value['classes'] else []
    return [*command, '--out', value['out']]


def _change(transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=_is_node, transition_id=transition))


def _is_node(action: object) -> bool:
    return isinstance(action, LifecycleNode)


def _end_early(_: Event, context: LaunchContext) -> list[object] | None:
    """End when the node has ended by itself; it is also stopped at the end."""
    return None if context.is_shutdown else _end('the node has ended before the replay was through')


def _end(reason: str) -> list[object]:
    return [LogInfo(msg=reason), EmitEvent(event=Shutdown(reason=reason))]


def _after(process: ExecuteProcess, *actions: object) -> RegisterEventHandler:
    return RegisterEventHandler(OnProcessExit(target_action=process, on_exit=list(actions)))
