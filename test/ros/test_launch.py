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

from adamtl_ros.nn.io.checkpoint import DEFAULT_WEIGHTS  # noqa: E402
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


def test_the_model_is_described_as_weights(module):
    (model,) = (argument for argument in module.ARGUMENTS if argument.name == 'model')
    start = f'Weights: {DEFAULT_WEIGHTS} (shipped), or the path of a .safetensors file'
    assert model.description.startswith(start)


def test_empty_arguments_override_no_parameter(module):
    assert module.overrides(values(module)) == {}


def test_given_arguments_have_the_types_of_the_parameters(module):
    given = values(
        module,
        budget='1',
        tasks='edges, depth',
        autostart='false',
        model='tiny',
        device='cpu',
        engine='torch',
        precision='float32',
        adapter='kitchen.safetensors',
        cameras='front,left rear',
    )
    assert module.overrides(given) == {
        'budget': 1.0,
        'tasks': ['edges', 'depth'],
        'autostart': False,
        'model': 'tiny',
        'device': 'cpu',
        'engine': 'torch',
        'precision': 'float32',
        'adapter': 'kitchen.safetensors',
        'cameras': ['front', 'left', 'rear'],
    }
    assert isinstance(module.overrides(given)['budget'], float)


def test_impossible_choice_is_refused(module):
    with pytest.raises(RuntimeError, match='image_transport'):
        values(module, image_transport='theora')


@pytest.mark.parametrize('text', ['abc', '0', '1.5', '-1', 'nan'])
def test_an_invalid_budget_is_refused(module, text):
    with pytest.raises(ValueError, match=f"budget:='{text}' must be a number from 0.01 to 1.0"):
        module.overrides(values(module, budget=text))


def test_a_missing_params_file_is_refused(module):
    with pytest.raises(ValueError, match=r"params_file:='/nowhere\.yaml': no such file; give"):
        module.check_cameras(values(module, params_file='/nowhere.yaml'))


def test_a_file_without_sections_is_refused(module, tmp_path):
    (tmp_path / 'list.yaml').write_text('[1, 2]')
    with pytest.raises(ValueError, match='is not a file of parameters'):
        module.check_cameras(values(module, params_file=str(tmp_path / 'list.yaml')))


@pytest.mark.parametrize('name', ['image', 'camera_info'])
def test_topics_of_one_camera_with_several_cameras_are_refused(module, name):
    module.check_cameras(values(module, cameras='front left'))
    module.check_cameras(values(module, **{name: '/topic'}))
    with pytest.raises(ValueError, match=rf"{name}:='/topic' .* cameras:= \['front', 'left'\]"):
        module.check_cameras(values(module, cameras='front left', **{name: '/topic'}))


@pytest.mark.parametrize(
    ('node', 'several'),
    [('/**', True), ('adamtl', True), ('/left/adamtl', True), ('another', False)],
)
def test_topics_of_one_camera_with_several_in_the_file_are_refused(module, tmp_path, node, several):
    path = tmp_path / 'cameras.yaml'
    path.write_text(f'{node}:\n  ros__parameters:\n    cameras: [front, left]\n')
    given = values(module, params_file=str(path), image='/topic')
    if several:
        with pytest.raises(ValueError, match=r"cameras.yaml with cameras \['front', 'left'\]"):
            module.check_cameras(given)
    else:
        module.check_cameras(given)


def launched(arguments):
    """Return the exit status of the launch file."""
    source = PythonLaunchDescriptionSource(str(PATH))
    included = IncludeLaunchDescription(source, launch_arguments=arguments.items())
    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription([included]))
    return service.run()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'budget': 'abc'}, "budget:='abc' must be a number"),
        ({'params_file': '/nowhere.yaml'}, "params_file:='/nowhere.yaml': no such file"),
        ({'cameras': 'a b', 'image': '/c'}, "image:='/c' is the topic of the only camera"),
    ],
)
def test_invalid_arguments_end_the_launch_with_an_error(arguments, message, caplog):
    assert launched(arguments) == 1
    assert message in caplog.text


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
    assert answer == [[0.5, 'indoor_lite0']]
    assert status == 0
