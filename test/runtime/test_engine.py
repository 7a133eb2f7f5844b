# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The engine: image in, results and cost out."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine, find_device
from adamtl_ros.runtime.threads import default_threads, set_threads
from adamtl_ros.tasks import TASKS

ENGINE = Engine(load_model('nano'), 'cpu')


def image(height=96, width=128, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_results_have_the_size_of_the_image():
    inference = ENGINE.run(image(123, 77))
    assert list(inference.results) == list(TASKS)
    for result in inference.results.values():
        assert result.shape[:2] == (123, 77)
    times = (inference.preprocess_ms, inference.infer_ms, inference.postprocess_ms)
    assert all(time > 0 for time in times)


def test_results_at_the_size_of_the_network():
    engine = Engine(load_model('nano'), 'cpu', output='network')
    assert engine.run(image(480, 640), tasks=['depth']).results['depth'].shape == (192, 256)


@pytest.mark.parametrize('budget', [1.0, 0.5])
def test_same_image_same_results_bit_for_bit(budget):
    first, second = (ENGINE.run(image(), budget).results for _ in range(2))
    for name in TASKS:
        np.testing.assert_array_equal(first[name], second[name])


def test_only_requested_tasks():
    inference = ENGINE.run(image(), 0.7, ['edges'])
    assert list(inference.results) == ['edges']
    assert inference.cost.fraction <= 0.7


def test_read_only_and_strided_images():
    """Frames from bags are read-only, and views need not be contiguous."""
    frozen = image()
    frozen.setflags(write=False)
    mirrored = image()[:, ::-1]
    for strange in (frozen, mirrored):
        expected = ENGINE.run(strange.copy(), tasks=['depth']).results['depth']
        np.testing.assert_array_equal(
            ENGINE.run(strange, tasks=['depth']).results['depth'], expected
        )


@pytest.mark.parametrize(
    'wrong',
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
)
def test_wrong_images(wrong):
    with pytest.raises(ValueError, match=r'image must be \(H, W, 3\) uint8 RGB'):
        ENGINE.run(wrong)


def test_wrong_options():
    with pytest.raises(ValueError, match="'input' or 'network', got 'huge'"):
        Engine(load_model('nano'), 'cpu', output='huge')
    with pytest.raises(ValueError, match="device 'toaster' cannot be used"):
        find_device('toaster')
    if not torch.cuda.is_available():
        assert find_device('auto') == torch.device('cpu')
        with pytest.raises(ValueError, match=r"device 'cuda:7' cannot be used .* try 'cpu'"):
            find_device('cuda:7')


def test_threads():
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == torch.get_num_threads() == 1
        assert set_threads(0) == torch.get_num_threads() == default_threads()
        with pytest.raises(ValueError, match='threads must be 0'):
            set_threads(-1)
    finally:
        set_threads(before)


def test_core_needs_no_ros():
    """The network, the runtime and the data code import nothing of ROS."""
    code = (
        'import sys, importlib, pkgutil, adamtl_ros\n'
        'for part in ("nn", "runtime", "data"):\n'
        '    package = importlib.import_module(f"adamtl_ros.{part}")\n'
        '    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):\n'
        '        importlib.import_module(module.name)\n'
        'import adamtl_ros.commands.main\n'
        'ros = {"rclpy", "sensor_msgs", "ament_index_python", "adamtl_ros.msg", "adamtl_ros.ros"}\n'
        'print(sorted(ros & set(sys.modules)))\n'
        'core = [n for n in sys.modules if n.startswith("adamtl_ros.nn")]\n'
        'print(len(core) > 8)\n'
    )
    output = subprocess.check_output([sys.executable, '-c', code], text=True, env=dict(os.environ))
    assert output.split('\n')[:2] == ['[]', 'True']


def test_network_needs_no_opencv():
    code = (
        'import sys\n'
        'import adamtl_ros.nn.io.checkpoint\n'
        'print("cv2" in sys.modules, any(n.startswith("adamtl_ros.runtime") for n in sys.modules))'
    )
    assert subprocess.check_output([sys.executable, '-c', code], text=True) == 'False False\n'
