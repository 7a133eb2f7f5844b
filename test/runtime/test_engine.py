# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The engine: image in, results and cost out."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import small

from adamtl_ros.nn.io.checkpoint import Model, load_model
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


def test_raw_maps_become_the_results_of_a_run():
    raw = ENGINE.infer(image(123, 77), 0.6, ['semseg', 'normals'])
    inference = ENGINE.run(image(123, 77), 0.6, ['semseg', 'normals'])
    height, width = raw.input_size
    assert {name: plane.shape for name, plane in raw.maps.items()} == {
        'semseg': (TASKS['semseg'].channels, height // 4, width // 4),
        'normals': (3, height // 4, width // 4),
    }
    assert (raw.cost, raw.plan, raw.input_size) == (
        inference.cost,
        inference.plan,
        inference.input_size,
    )
    results = ENGINE.postprocess(raw.maps, (123, 77))
    for name, result in inference.results.items():
        np.testing.assert_array_equal(results[name], result)


@pytest.mark.parametrize('budget', [1.0, 0.5])
def test_same_image_same_results_bit_for_bit(budget):
    first, second = (ENGINE.run(image(), budget).results for _ in range(2))
    for name in TASKS:
        np.testing.assert_array_equal(first[name], second[name])


def test_only_requested_tasks():
    inference = ENGINE.run(image(), 0.7, ['edges'])
    assert list(inference.results) == ['edges']
    assert inference.cost.fraction <= 0.7


def test_graphs_give_the_results_of_torch(tmp_path, monkeypatch):
    pytest.importorskip('openvino', reason='needs openvino')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    model = Model(small.lite(), 'small')
    reference = Engine(model, 'cpu')
    engine = Engine(model, 'cpu', engine='openvino')
    assert engine.selection.engine == 'openvino'
    for budget in (1.0, 0.3):
        found = engine.infer(image(), budget, ['depth', 'normals'])
        expected = reference.infer(image(), budget, ['depth', 'normals'])
        assert (found.engine, expected.engine) == ('openvino', 'torch')
        assert (found.plan, found.cost, found.input_size) == (
            expected.plan,
            expected.cost,
            expected.input_size,
        )
        kept = {name: plane.copy() for name, plane in found.maps.items()}
        engine.run(image(seed=1), budget, ['depth', 'normals'])
        for name, plane in expected.maps.items():
            np.testing.assert_array_equal(found.maps[name], kept[name])  # of their own
            np.testing.assert_allclose(found.maps[name], plane, atol=2e-3 * np.abs(plane).max())


def test_what_a_graph_of_more_tasks_computes_counts():
    engine = Engine(Model(small.lite(), 'small'), 'cpu')
    all_tasks = engine.run(image(), 0.5).cost

    class More:
        """Engine that computes all tasks, whatever is asked for."""

        name, precision = 'more', 'float32'

        def run(self, pixels, graph):
            """Run for all tasks."""
            found = engine.eager.run(pixels, replace(graph, tasks=engine.tasks))
            return replace(found, maps={name: found.maps[name] for name in graph.tasks})

    one = engine.run(image(), 0.5, ['depth']).cost
    engine.backend = More()
    found = engine.run(image(), 0.5, ['depth'])
    assert list(found.results) == ['depth']
    assert found.cost == replace(one, macs=all_tasks.macs)
    assert one.macs < all_tasks.macs


def test_policies_run_on_torch_whatever_the_engine():
    engine = Engine(load_model('nano'), 'cpu')

    class Graphs:
        """Engine that must not be asked."""

        name, precision = 'graphs', 'float32'

    engine.backend = Graphs()
    found = engine.run(image(), 0.5, ['depth'])
    expected = ENGINE.run(image(), 0.5, ['depth'])
    assert (found.engine, found.plan, found.cost) == ('torch', expected.plan, expected.cost)
    np.testing.assert_array_equal(found.results['depth'], expected.results['depth'])


@pytest.mark.parametrize('option', ['engine', 'precision'])
def test_unknown_engines_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} must be one of: auto, .*; got 'fast'"):
        Engine(load_model('nano'), 'cpu', **{option: 'fast'})


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
def test_invalid_images_are_refused(wrong):
    with pytest.raises(ValueError, match=r'image must be \(H, W, 3\) uint8 RGB'):
        ENGINE.run(wrong)


def test_invalid_options_are_refused():
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
    """Network, runtime and data code do not import ROS."""
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


TRAINED = load_model('scenes_nano')  # random weights would reach the limits of depth
PLAIN, LENS = (Engine(replace(TRAINED, focal=focal), 'cpu') for focal in (None, 0.9))


def test_depth_follows_the_focal_length_and_nothing_else_does():
    """At half the focal length a thing of that size in pixels is half as far away."""
    canonical = LENS.run(image())
    near, far = (LENS.run(image(), focal=focal).results for focal in (0.45, 1.8))
    for name, result in canonical.results.items():
        if name == 'depth':
            np.testing.assert_allclose(near[name], result / 2, rtol=1e-5)
            np.testing.assert_allclose(far[name], result * 2, rtol=1e-5)
        else:
            np.testing.assert_array_equal(near[name], result)
            np.testing.assert_array_equal(far[name], result)


def test_an_unknown_focal_length_is_the_canonical_one():
    expected = LENS.run(image(), tasks=['depth'], focal=0.9).results['depth']
    plain = PLAIN.run(image(), tasks=['depth']).results['depth']
    for focal in (None, float('nan')):
        found = LENS.run(image(), tasks=['depth'], focal=focal).results['depth']
        np.testing.assert_array_equal(found, plain)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_models_without_a_canonical_focal_length_ignore_that_of_the_image():
    expected = PLAIN.run(image(), tasks=['depth']).results['depth']
    for focal in (0.3, -1.0, float('nan')):
        found = PLAIN.run(image(), tasks=['depth'], focal=focal).results['depth']
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('focal', [0.0, -0.9, float('inf')])
def test_impossible_focal_lengths_are_refused(focal):
    with pytest.raises(ValueError, match=f'focal must be a positive.*got {focal}'):
        LENS.run(image(), tasks=['depth'], focal=focal)
