# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Launch file of the replay, with the real `launch`; player and recorder of the demo stand in."""

import importlib.util
import json
import os
import sys
import threading
from pathlib import Path

import pytest

launch = pytest.importorskip('launch', reason='needs launch, which is not among the wheels')
launch_ros = pytest.importorskip('launch_ros', reason='needs launch_ros, not among the wheels')

from ament_index_python.packages import get_package_share_directory  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402

from adamtl_ros.data.synthetic import write_synthetic_bag  # noqa: E402
from adamtl_ros.nn.io.checkpoint import DEFAULT_WEIGHTS  # noqa: E402
from launch import LaunchDescription, LaunchService  # noqa: E402

PATH = Path(get_package_share_directory('adamtl_ros')) / 'launch' / 'replay.launch.py'
FRAMES = 15

ROS2_BAG = """#!{python}
import os
import sys
from pathlib import Path

words = sys.argv[1:]
assert words[0] == 'bag'
if words[1] == os.environ.get('BROKEN'):
    sys.exit(3)
if words[1] == 'play':
    from adamtl_ros.commands.main import main

    raise SystemExit(main(['play', words[2], '--image', '/camera/image_raw']))

import rclpy
from rclpy.executors import ExternalShutdownException
from adamtl_ros.demo.session import Recorder

out = Path(words[words.index('--output') + 1])
out.parent.mkdir(parents=True, exist_ok=True)
rclpy.init()
node = rclpy.create_node('recorder')
recorder = Recorder(node, '/adamtl', out.parent / 'spool', color=False)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    recorder.write_bag(out)
"""


@pytest.fixture
def module():
    """Import the launch file."""
    spec = importlib.util.spec_from_file_location('replay_launch', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_argument_is_described(module):
    assert all(argument.description for argument in module.ARGUMENTS)


def test_the_model_is_described_as_weights(module):
    (model,) = (argument for argument in module.ARGUMENTS if argument.name == 'model')
    start = f'Weights: {DEFAULT_WEIGHTS} (shipped), or the path of a .safetensors file'
    assert model.description.startswith(start)


def test_commands(module):
    value = {'bag': 'b', 'rate': '0.5', 'model': 'm', 'out': 'o', 'image': '/i', 'classes': ''}
    value['image_transport'] = 'compressed'
    assert ' '.join(module.play_command(value)) == 'ros2 bag play b --clock 100 --rate 0.5'
    recorded = module.record_command('o/recorded')
    assert recorded[:3] == ['ros2', 'bag', 'record']
    assert recorded[-2:] == ['--regex', module.RESULTS]
    assert ' '.join(module.report_command(value, 'r')) == (
        'adamtl evaluate-bag b --recorded r --camera /i/compressed --model m --out o'
    )
    with_classes = module.report_command({**value, 'classes': 'c.yaml'}, 'r')
    assert with_classes[with_classes.index('--classes') + 1] == 'c.yaml'


@pytest.fixture
def replay(tmp_path, monkeypatch, own_domain):
    """Return a function that replays a synthetic bag and returns the exit status."""
    write_synthetic_bag(tmp_path / 'room', frames=FRAMES, size=(120, 160), truth=True)
    tool = tmp_path / 'bin' / 'ros2'
    tool.parent.mkdir()
    tool.write_text(ROS2_BAG.format(python=sys.executable))
    tool.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tool.parent}{os.pathsep}{os.environ["PATH"]}')

    def run(**options):
        arguments = {
            'bag': str(tmp_path / 'room'),
            'image': '/camera/image_raw',
            'image_transport': 'compressed',
            'out': str(tmp_path / 'out'),
            **options,
        }
        source = PythonLaunchDescriptionSource(str(PATH))
        included = IncludeLaunchDescription(source, launch_arguments=arguments.items())
        service = LaunchService(noninteractive=True)
        service.include_launch_description(LaunchDescription([included]))
        patience = threading.Timer(180, service.shutdown)
        patience.start()
        try:
            return service.run()
        finally:
            patience.cancel()

    return run


@pytest.mark.timeout(240)
def test_a_replay_ends_with_a_report(replay, tmp_path):
    """Node and recorder start, then the player; after the bag the report is written."""
    assert replay() == 0
    summary = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    streaming = summary['timing']['results'][0]['streaming']
    assert streaming['answers'] + streaming['dropped'] == FRAMES
    assert streaming['answers'] > 0
    assert (tmp_path / 'out' / 'report.html').is_file()


@pytest.mark.timeout(240)
def test_nothing_is_played_to_a_node_that_cannot_start(replay, tmp_path, caplog):
    assert replay(model='nowhere') == 1
    assert 'the node cannot be started, so there is no replay' in caplog.text
    assert not (tmp_path / 'sent.csv').exists()
    assert not (tmp_path / 'out' / 'metrics.json').exists()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ('broken', 'message'),
    [
        ('record', 'the recorder ended with status 3 before the bag was played'),
        ('play', 'the player ended with status 3: nothing is evaluated'),
    ],
)
def test_a_recorder_or_player_that_dies_fails_the_replay(
    replay, tmp_path, caplog, monkeypatch, broken, message
):
    monkeypatch.setenv('BROKEN', broken)
    assert replay() == 1
    assert message in caplog.text
    assert 'the report is written' not in caplog.text
    assert not (tmp_path / 'out' / 'metrics.json').exists()


@pytest.mark.timeout(240)
def test_an_evaluation_that_fails_fails_the_replay(replay, tmp_path, caplog):
    command = tmp_path / 'bin' / 'adamtl'
    command.write_text('#!/bin/sh\nexit 4\n')
    command.chmod(0o755)
    assert replay() == 1
    assert 'the evaluation ended with status 4: there is no report' in caplog.text
    assert 'the report is written' not in caplog.text
