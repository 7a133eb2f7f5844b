# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The launch file, with the real `launch` where it is installed."""

import importlib.util
from pathlib import Path

import pytest

launch = pytest.importorskip('launch', reason='needs launch, which is not among the wheels')
launch_ros = pytest.importorskip('launch_ros', reason='needs launch_ros, not among the wheels')

from ament_index_python.packages import get_package_share_directory  # noqa: E402
from helpers.ros_images import image  # noqa: E402
from launch.actions import IncludeLaunchDescription, SetLaunchConfiguration  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.parameter import parameter_value_to_python  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from launch import LaunchContext, LaunchDescription, LaunchService  # noqa: E402

PATH = Path(get_package_share_directory('adamtl_ros')) / 'launch' / 'perception.launch.py'


@pytest.fixture
def module():
    """Import the launch file."""
    spec = importlib.util.spec_from_file_location('perception_launch', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def values(module, **given):
    """Return the arguments' values, those given and the defaults of the others."""
    context = LaunchContext()
    for name, value in given.items():
        SetLaunchConfiguration(name, value).execute(context)
    for argument in module.ARGUMENTS:
        argument.execute(context)
    return {a.name: context.launch_configurations[a.name] for a in module.ARGUMENTS}


def test_every_argument_is_described(module):
    assert all(argument.description for argument in module.ARGUMENTS)


def test_nothing_given_overrides_nothing(module):
    assert module.overrides(values(module)) == {}


def test_given_arguments_have_the_types_of_the_parameters(module):
    given = values(
        module,
        budget='1',
        tasks='edges, depth',
        autostart='false',
        model='tiny',
        device='cpu',
        adapter='kitchen.safetensors',
    )
    assert module.overrides(given) == {
        'budget': 1.0,
        'tasks': ['edges', 'depth'],
        'autostart': False,
        'model': 'tiny',
        'device': 'cpu',
        'adapter': 'kitchen.safetensors',
    }
    assert isinstance(module.overrides(given)['budget'], float)


def test_impossible_choice_is_refused(module):
    with pytest.raises(RuntimeError, match='image_transport'):
        values(module, image_transport='theora')


@pytest.mark.timeout(180)
def test_launched_node_runs(graph, monkeypatch):
    """The node comes up active in its namespace, remapped, with the overrides; then ends."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(graph.context.get_domain_id()))
    source = PythonLaunchDescriptionSource(str(PATH))
    arguments = {'namespace': 'left', 'image': '/front/image', 'budget': '0.5'}
    description = LaunchDescription(
        [IncludeLaunchDescription(source, launch_arguments=arguments.items())]
    )
    service = LaunchService(noninteractive=True)
    service.include_launch_description(description)

    def use():
        results = graph.listen(Image, '/left/adamtl/edges/image')
        camera = graph.client.create_publisher(Image, '/front/image', 5)

        def came():
            camera.publish(image())
            return results

        graph.until(came, timeout=60)
        client = graph.client.create_client(GetParameters, '/left/adamtl/get_parameters')
        assert client.wait_for_service(30)
        future = client.call_async(GetParameters.Request(names=['budget', 'model']))
        graph.until(future.done)
        return [parameter_value_to_python(value) for value in future.result().values]

    import threading

    answer = []

    def run():
        try:
            answer.append(use())
        except AssertionError as error:
            answer.append(error)
        service.shutdown()

    thread = threading.Thread(target=run)
    thread.start()
    status = service.run()
    thread.join()
    assert answer == [[0.5, 'scenes_nano']]
    assert status == 0
