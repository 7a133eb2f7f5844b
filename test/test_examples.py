# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The scripts in examples/, each as a user starts it, on little data."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.nn.io.checkpoint import load_model

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ('predict', 'budgets', 'client', 'evaluate_bag', 'train_on_folder')


def environment(**changes):
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    return {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', **changes}


def run(name, *arguments, cwd, **changes):
    """Run an example, and return what it prints."""
    result = subprocess.run(
        [sys.executable, str(ROOT / 'examples' / f'{name}.py'), *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def photos(folder, count=2, height=96, width=128):
    """Write images of noise, coarse enough to survive JPEG."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        small = rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{number}.jpg'), image)
    return folder


def test_every_example_is_tested():
    assert sorted(path.stem for path in (ROOT / 'examples').glob('*.py')) == sorted(SCRIPTS)


def test_predict(tmp_path):
    photo = photos(tmp_path / 'photos') / '0.jpg'
    text = run('predict', photo, '--budget', 0.5, '--out', 'made.png', cwd=tmp_path)
    assert text.startswith('made.png: image, semseg, human_parts, normals, saliency, depth, edges')
    assert cv2.imread(str(tmp_path / 'made.png')).shape == (96 + 54, 7 * 128, 3)


def test_budgets(tmp_path):
    text = run('budgets', photos(tmp_path / 'photos'), '--budgets', 1, 0.5, cwd=tmp_path)
    first, _, *rows = text.splitlines()
    assert first == '2 images'
    assert [float(row.split('|')[0]) for row in rows] == [1.0, 0.5]
    assert rows[0].endswith('| 0.0%')


def test_evaluate_bag(tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=2, size=(96, 128), truth=True)
    text = run('evaluate_bag', 'room', '--model', 'scenes_nano', cwd=tmp_path)
    assert text.startswith('2 labelled images of /camera/image_raw')
    assert text.count('rmse') == 2


def test_train_on_folder(tmp_path):
    data = tmp_path / 'data'
    data.mkdir()
    photos(data / 'image', 4)
    for task, kind in (('semseg', np.uint8), ('depth', np.uint16)):
        (data / task).mkdir()
        for number in range(3):  # one image has no labels
            label = np.full((96, 128), 1, kind)
            label[:48] = 2000 if task == 'depth' else 0
            cv2.imwrite(str(data / task / f'{number}.png'), label)
    arguments = ['--classes', 'floor', 'wall', '--steps', 2, '--batch', 2, '--size', 64, 96]
    text = run('train_on_folder', data, *arguments, '--out', 'run', cwd=tmp_path)
    assert 'trained from random weights: decoders.semseg, policy; ' in text
    network = load_model(str(tmp_path / 'run' / 'model.safetensors')).network
    assert network.tasks['semseg'].classes == ('floor', 'wall')
    assert network.calibration.size == (64, 96)


def test_client(tmp_path, own_domain):
    rclpy = pytest.importorskip('rclpy', reason='needs ROS 2')
    pytest.importorskip('adamtl_ros.msg', reason='needs the built messages of adamtl_ros')
    from rclpy.context import Context
    from sensor_msgs.msg import Image

    changes = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    node = subprocess.Popen(
        [sys.executable, str(ROOT / 'scripts' / 'perception_node')], env=environment(**changes)
    )
    client = subprocess.Popen(
        [sys.executable, str(ROOT / 'examples' / 'client.py'), '--frames', '2', '--budget', '0.5'],
        cwd=tmp_path,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        text=True,
    )
    context = Context()
    rclpy.init(context=context, domain_id=own_domain)
    camera = rclpy.create_node('camera', context=context)
    try:
        publisher = camera.create_publisher(Image, '/image', 5)
        message = Image(height=96, width=128, encoding='rgb8', step=384)
        message.data = np.random.default_rng(0).integers(0, 256, 96 * 384, np.uint8).tobytes()
        while client.poll() is None:
            message.header.stamp = camera.get_clock().now().to_msg()
            publisher.publish(message)
            try:
                client.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        text = client.stdout.read()
        assert client.returncode == 0
        assert text.count('128x96, median ') == 2
        assert ' million MACs' in text
    finally:
        for process in (client, node):
            process.terminate()
            process.wait(20)
        camera.destroy_node()
        rclpy.shutdown(context=context)
