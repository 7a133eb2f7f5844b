# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Findings about machines and cameras that are made up, and the command."""

import hashlib
import threading
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
from helpers.ros_images import picture

from adamtl_ros.commands.main import main
from adamtl_ros.doctor.finding import Level
from adamtl_ros.doctor.machine import SUMS, battery, known_hashes, thermal, weights
from adamtl_ros.governor.sensors import ThermalZones
from adamtl_ros.nn.io.checkpoint import shipped_weights

needs_ros = pytest.mark.skipif(not find_spec('adamtl_ros.msg'), reason='needs ROS 2')


def test_the_hashes_are_those_of_the_shipped_weights():
    """After new weights: (cd adamtl_ros/weights && sha256sum *.safetensors > SHA256SUMS)."""
    files = list(shipped_weights().values())
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert known_hashes(files[0].parent) == hashes


def test_weights(tmp_path):
    assert weights('scenes_nano').level is Level.OK
    assert weights('tiny').level is Level.WARN  # random ones
    path = tmp_path / 'mine.safetensors'
    path.write_bytes(b'anything')
    found = weights(str(path))
    assert (found.level, 'of your own' in found.text) == (Level.OK, True)
    (tmp_path / SUMS).write_text(f'{"0" * 64}  mine.safetensors\n')
    assert 'is damaged' in weights(str(path)).text
    path.write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')
    found = weights(str(path))
    assert (found.level, found.fix) == (Level.ERROR, "run 'git lfs pull'")


def test_heat(tmp_path):
    assert thermal(ThermalZones(tmp_path)).level is Level.WARN
    for number, (name, degrees) in enumerate((('cpu', 51_000), ('gpu', 63_000))):
        zone = tmp_path / f'thermal_zone{number}'
        zone.mkdir()
        (zone / 'type').write_text(name)
        (zone / 'temp').write_text(str(degrees))
    found = thermal(ThermalZones(tmp_path))
    assert found.level is Level.OK
    assert found.text == '63 degrees in gpu; thermal.zone: cpu, gpu'


def test_battery(tmp_path):
    assert battery(tmp_path).level is Level.OK
    for name, kind in (('AC', 'Mains'), ('BAT0', 'Battery')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'type').write_text(f'{kind}\n')
        (tmp_path / name / 'capacity').write_text('83\n')
    found = battery(tmp_path)
    assert (found.level, found.text) == (Level.WARN, 'BAT0 83 %')
    assert 'battery_state' in found.fix


def test_the_machine_alone(capsys):
    assert main(['doctor', '--no-ros', '--device', 'cpu', '--model', 'scenes_nano']) == 0
    lines = capsys.readouterr().out.splitlines()
    for subject in ('python', 'torch', 'cores', 'weights', 'engine', 'heat', 'battery'):
        assert sum(f' {subject}: ' in line for line in lines) == 1, subject
    # Each line that is not OK is followed by what to do.
    for line, after in zip(lines, [*lines[1:], ''], strict=True):
        assert after.startswith('      -> ') == line.startswith(('WARN', 'ERROR')), line


def test_a_missing_model_is_an_error(capsys):
    assert main(['doctor', '--no-ros', '--model', 'no.safetensors']) == 1
    assert 'ERROR engine: model ' in capsys.readouterr().out


@needs_ros
@pytest.mark.usefixtures('own_domain')
def test_no_camera(capsys):
    arguments = ['--device', 'cpu', '--model', 'scenes_nano', '--seconds', '0.4']
    assert main(['doctor', *arguments, '--image', '/eye/image']) == 1
    output = capsys.readouterr().out
    assert 'ERROR camera: nothing publishes /eye/image[/compressed]' in output
    assert 'WARN  camera_info: nothing on /eye/camera_info' in output
    assert 'WARN  node: /adamtl does not run' in output


@needs_ros
@pytest.mark.parametrize('fov', [0.0, 60.0])
def test_a_camera(tmp_path, worker_domain, monkeypatch, fov):
    """Plays a picture at 20 Hz beside it, without and with a known lens."""
    from adamtl_ros.doctor.graph import check_camera
    from adamtl_ros.ros.player import CameraPublisher, play
    from adamtl_ros.sources.pictures import Pictures

    domain = next(worker_domain)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
    cv2.imwrite(str(tmp_path / 'one.png'), picture())
    source = Pictures([tmp_path / 'one.png'], 'one', 20.0)
    source.fov_deg = fov
    stop = threading.Event()
    thread = play_in_background(domain, source, stop, CameraPublisher, play)
    try:
        found = list(check_camera('/camera/image', '/adamtl', 3.0))
    finally:
        stop.set()
        thread.join()
    (camera,) = (f for f in found if f.subject == 'camera' and '/compressed' not in f.text)
    assert camera.text.startswith('/camera/image (camera: reliable, volatile): 64x48, ')
    (info,) = (f for f in found if f.subject == 'camera_info')
    if fov:
        # fx = fy = 32 / tan(30 degrees) = 55.43 px, over sqrt(64 x 48) = 55.43 px.
        assert info.text == '/camera/camera_info, relative focal length 1.000'
    else:
        assert (info.level, 'K = 0' in info.text) == (Level.WARN, True)


def play_in_background(domain, source, stop, publisher, play):
    """Publish the frames of a source again and again in a context of its own."""
    import rclpy
    from rclpy.context import Context

    frames = source.frames
    source.frames = lambda: iter(()) if stop.is_set() else frames()
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node('camera', context=context)
    camera = publisher(node, '/camera/image')

    def run():
        play(source, camera, loop=True)
        node.destroy_node()
        context.try_shutdown()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_finding_without_a_file_of_hashes(tmp_path):
    assert known_hashes(Path(tmp_path)) == {}
