# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Launch file that plays a bag to the perception node, records its results and evaluates them.

Needs rosbag2 (`ros2 bag`). Player and node share the clock of the bag. The player starts when the
node is active; when it has finished, the recorder is stopped and `adamtl evaluate-bag` writes a
report. A step that fails ends the launch with an error and a nonzero exit status.
"""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from launch.events.process import ProcessExited

PERCEPTION = Path(get_package_share_directory('adamtl_ros')) / 'launch' / 'perception.launch.py'
RESULTS = '/adamtl/(compute_stats|[a-z_]+/(image|label_info))'
"""Recorded topics; the subscriptions of the recorder make the node compute the tasks."""

FAILURES = (('configuring', 'unconfigured'), ('activating', 'inactive'))
"""Transitions back, whose reason the node has logged."""

DRAIN_S = 2.0
"""Time for the last results after the last image [s]."""
START_TIMEOUT_S = 120.0
"""Time within which the node must be active; it loads the model before [s]."""

ARGUMENTS = [
    DeclareLaunchArgument('bag', description='Path of the bag.'),
    DeclareLaunchArgument('image', description='Topic of its images, without /compressed.'),
    DeclareLaunchArgument(
        'camera_info', default_value='camera_info', description='Topic of its calibration.'
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='raw',
        choices=['raw', 'compressed'],
        description='Whether the images of the bag are raw or compressed.',
    ),
    DeclareLaunchArgument(
        'model',
        default_value='indoor_lite0',
        description='Weights: indoor_lite0 (shipped), or the path of a .safetensors file.',
    ),
    DeclareLaunchArgument(
        'budget',
        default_value='1.0',
        description='Fraction of the full MACs that frames may cost on average, 0.01 to 1.0.',
    ),
    DeclareLaunchArgument('rate', default_value='1.0', description='Speed of the playback.'),
    DeclareLaunchArgument(
        'classes',
        default_value='',
        description='YAML file with the names of the class ids of the bag.',
    ),
    DeclareLaunchArgument(
        'out', default_value='replay', description='Folder for the recording and the report.'
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the rest needs their values."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=replay)])


def replay(context: LaunchContext) -> list[object]:
    """Start node and recorder; the player, the evaluation and the end follow on events."""
    names = [argument.name for argument in ARGUMENTS]
    value = {name: LaunchConfiguration(name).perform(context) for name in names}
    return Replay(value).entities()


class Replay:
    """Processes of a replay, each started when the one before it has succeeded."""

    def __init__(self, value: dict[str, str]) -> None:
        """Create the processes.

        Args:
            value: Values of the launch arguments.

        """
        self._value = value
        self._recorded = Path(value['out']) / 'recorded'
        self._played = False
        self._recorder = _process('recorder', record_command(str(self._recorded)))
        self._player = _process('player', play_command(value))
        self._report = _process('report', report_command(value, str(self._recorded)))

    def entities(self) -> list[object]:
        """Return the handlers, the recorder and the node, and what configures the node."""
        return [
            _on_exit(self._recorder, self._recorder_ended),
            _on_exit(self._player, self._player_ended),
            _on_exit(self._report, self._report_ended),
            self._recorder,
            *start_before(self._player),
            perception(self._value),
            _change(Transition.TRANSITION_CONFIGURE),
        ]

    def _player_ended(self, event: ProcessExited) -> list[object]:
        if event.returncode:
            raise RuntimeError(f'the player {_failed(event)}: nothing is evaluated')
        self._played = True
        stop = SignalProcess(signal_number=SIGINT, process_matcher=matches_action(self._recorder))
        return [TimerAction(period=DRAIN_S, actions=[EmitEvent(event=stop)])]

    def _recorder_ended(self, event: ProcessExited) -> list[object]:
        if not self._played:
            raise RuntimeError(f'the recorder {_failed(event)} before the bag was played')
        # Its status after the signal differs between versions; the recording is what counts.
        if not self._recorded.exists():
            raise RuntimeError(f'the recorder {_failed(event)} and left no {self._recorded}')
        return [self._report]

    def _report_ended(self, event: ProcessExited) -> list[object]:
        if event.returncode:
            raise RuntimeError(f'the evaluation {_failed(event)}: there is no report')
        reason = f'the report is written: {Path(self._value["out"]) / "report.html"}'
        return [LogInfo(msg=reason), EmitEvent(event=Shutdown(reason=reason))]


def start_before(player: ExecuteProcess) -> list[object]:
    """Activate the node once it is configured, then start the player; fail if the node fails.

    The node does not start itself, since it could be active before its events are handled.
    """
    activate = _change(Transition.TRANSITION_ACTIVATE)
    # The event of a transition is lost where it comes before its subscription is discovered.
    late = TimerAction(period=START_TIMEOUT_S, actions=[OpaqueFunction(function=_not_active)])
    in_time = OpaqueFunction(function=lambda _: late.cancel())
    handlers = [
        OnStateTransition(start_state='configuring', goal_state='inactive', entities=[activate]),
        OnStateTransition(goal_state='active', entities=[in_time, player]),
        OnStateTransition(matcher=has_failed, entities=[OpaqueFunction(function=_not_started)]),
    ]
    ended = _on_exit(_is_node, _node_ended)
    return [*(RegisterEventHandler(handler) for handler in handlers), ended, late]


def has_failed(event: Event) -> bool:
    """Return whether an event shows that the node does not become active."""
    if not isinstance(event, StateTransition):
        return False
    went = (event.start_state, event.goal_state)
    return went in FAILURES or event.goal_state == 'errorprocessing'


def perception(value: dict[str, str]) -> IncludeLaunchDescription:
    """Return the node on the clock of the bag, unconfigured."""
    shared = ('image', 'camera_info', 'image_transport', 'model', 'budget')
    arguments = {name: value[name] for name in shared}
    arguments |= {'autostart': 'false', 'use_sim_time': 'true'}
    source = PythonLaunchDescriptionSource(str(PERCEPTION))
    return IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))


def play_command(value: dict[str, str]) -> list[str]:
    """Return the command that plays the bag and publishes its clock."""
    return ['ros2', 'bag', 'play', value['bag'], '--clock', '100', '--rate', value['rate']]


def record_command(recorded: str) -> list[str]:
    """Return the command that records the results, without the color images."""
    options = ['--storage', 'mcap', '--use-sim-time', '--output', recorded, '--regex', RESULTS]
    return ['ros2', 'bag', 'record', *options]


def report_command(value: dict[str, str], recorded: str) -> list[str]:
    """Return the command that evaluates the recording of the camera."""
    suffix = '/compressed' if value['image_transport'] == 'compressed' else ''
    command = ['adamtl', 'evaluate-bag', value['bag'], '--recorded', recorded]
    command += ['--camera', value['image'] + suffix, '--model', value['model']]
    command += ['--classes', value['classes']] if value['classes'] else []
    return [*command, '--out', value['out']]


def _process(name: str, command: list[str]) -> ExecuteProcess:
    return ExecuteProcess(cmd=command, name=name, output='screen')


def _change(transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=_is_node, transition_id=transition))


def _is_node(action: object) -> bool:
    return isinstance(action, LifecycleNode)


def _not_started(_: LaunchContext) -> None:
    raise RuntimeError('the node cannot be started, so there is no replay')


def _not_active(_: LaunchContext) -> None:
    raise RuntimeError(
        f'the node is not active after {START_TIMEOUT_S:g} s, so there is no replay; see its log, '
        'or start again'
    )


def _node_ended(event: ProcessExited) -> list[object]:
    raise RuntimeError(f'the node {_failed(event)} before the replay was finished')


def _failed(event: ProcessExited) -> str:
    return f'ended with status {event.returncode}'


def _on_exit(
    target: ExecuteProcess | Callable[[object], bool],
    handle: Callable[[ProcessExited], list[object]],
) -> RegisterEventHandler:
    """Handle the end of a process, but not during the shutdown, which ends all of them.

    An exception of the handler ends the launch with its message and exit status 1.
    """

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[object] | None:
        return None if context.is_shutdown else handle(event)

    return RegisterEventHandler(OnProcessExit(target_action=target, on_exit=on_exit))
