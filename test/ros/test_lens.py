# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scale of metric depth by `camera_info`, and what is said where there is none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from helpers.ros_images import RELIABLE, array, camera_info, image, picture
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from adamtl_ros.nn.io.checkpoint import load_model, save_model
from adamtl_ros.ros import lens
from adamtl_ros.runtime.engine import Engine

CANONICAL = 0.9
AREA = 48 * 64


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Return the file of a model whose depth is that of a lens of 0.9."""
    path = tmp_path_factory.mktemp('model') / 'lens.safetensors'
    save_model(replace(load_model('scenes_nano'), focal=CANONICAL), path)
    return str(path)


@pytest.fixture(scope='module')
def canonical():
    """Return the depth of the picture for the canonical lens."""
    unaware = replace(load_model('scenes_nano'), focal=None)
    return Engine(unaware, 'cpu').run(picture(), tasks=['depth']).results['depth']


@pytest.fixture
def warnings(monkeypatch):
    """Return a function that records the warnings of a node."""

    def record(node):
        found = []
        kind = type(node.get_logger())
        monkeypatch.setattr(kind, 'warning', lambda _self, text, **_: found.append(text))
        return found

    return record


class Camera:
    """Camera that sends its calibration, if it has one, before each image, and what comes back."""

    def __init__(self, graph, name='', image_topic='', info_topic=''):
        prefix, below = (f'{name}/', f'/{name}') if name else ('', '')
        self.graph, self.info = graph, None
        self.depths = graph.listen(Image, f'/adamtl{below}/depth/image')
        create = graph.client.create_publisher
        self._image = create(Image, image_topic or f'{prefix}image', RELIABLE)
        # As drivers do, best effort.
        self._info = create(
            CameraInfo, info_topic or f'{prefix}camera_info', qos_profile_sensor_data
        )

    def send(self):
        """Send the calibration, if any, and an image."""
        if self.info is not None:
            self._info.publish(self.info)
        self._image.publish(image())

    def until(self, condition):
        """Send until a condition holds."""

        def attempt():
            self.send()
            return condition()

        self.graph.until(attempt)

    def ratio(self, canonical):
        """Return the last depth over the one for the canonical lens."""
        return float(np.median(array(self.depths[-1]) / canonical))

    def until_ratio(self, canonical, expected):
        """Send until depth has a ratio to that for the canonical lens."""
        self.until(
            lambda: self.depths and math.isclose(self.ratio(canonical), expected, rel_tol=0.01)
        )


def relative(focal, area=AREA):
    return focal / math.sqrt(area)


def whole(focal=50.0, **sizes):
    """Return a calibration without a region of interest."""
    info = camera_info(focal=focal, **sizes)
    info.roi = CameraInfo().roi
    return info


def inputs(reports, camera=''):
    """Return the input statuses of the diagnostics."""
    name = f'/adamtl: {camera} input'.replace('  ', ' ')
    return [status for report in reports for status in report.status if status.name == name]


def values(status):
    return {pair.key: pair.value for pair in status.values}


def test_depth_is_scaled_by_the_calibration_and_follows_it(graph, model, canonical, warnings):
    """From one lens to another and to a region of the sensor, while the node runs."""
    found = warnings(graph.perception(model=model, tasks=['depth']))
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = Camera(graph)
    region = whole(100.0, height=480, width=640)
    region.roi.x_offset, region.roi.width, region.roi.height = 8, 320, 240
    binned = whole(100.0, height=96, width=128)
    binned.binning_x = binned.binning_y = 2
    for info, focal in (
        (whole(50.0), relative(50)),
        (whole(25.0), relative(25)),
        (binned, relative(50)),
        (whole(100.0, height=480, width=640), relative(100, 480 * 640)),
        (region, relative(100, 240 * 320)),
    ):
        camera.info = info
        camera.until_ratio(canonical, focal / CANONICAL)
        expected = f'{focal:.3f}'
        camera.until(
            lambda expected=expected: (
                inputs(reports) and values(inputs(reports)[-1])['relative focal length'] == expected
            )
        )
        assert inputs(reports)[-1].level == DiagnosticStatus.OK
    assert not [text for text in found if 'camera_info' in text]


def test_a_missing_calibration_is_said_once_and_in_diagnostics(graph, model, canonical, warnings):
    """Depth is then that of the canonical lens; once the calibration comes, it is used."""
    found = warnings(graph.perception(model=model, tasks=['depth']))
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = Camera(graph)
    camera.until(lambda: len(camera.depths) > 3 * lens.MISSING_AFTER)
    assert camera.ratio(canonical) == pytest.approx(1, rel=1e-3)
    (warning,) = [text for text in found if 'camera_info' in text]
    assert warning.startswith('no camera_info on /camera_info; until then depth is scaled as if')
    assert 'focal length 0.900 x square root of the area' in warning
    assert "remap 'camera_info'" in warning

    def warned():
        status = inputs(reports)[-1] if reports else None
        return status and status.level == DiagnosticStatus.WARN

    camera.until(warned)
    status = inputs(reports)[-1]
    assert status.message == 'scale of depth unknown: no camera_info on /camera_info'
    assert values(status)['relative focal length'] == 'unknown'
    camera.info = whole()
    camera.until_ratio(canonical, relative(50) / CANONICAL)
    camera.until(lambda: not warned())
    assert len([text for text in found if 'camera_info' in text]) == 1


def test_the_first_images_may_be_faster_than_the_calibration(graph, model, warnings):
    found = warnings(graph.perception(model=model, tasks=['depth']))
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = Camera(graph)
    camera.until(lambda: camera.depths)
    before = graph.nodes[0].cameras[''].reporter.counters.counts.received
    assert before < lens.MISSING_AFTER
    camera.info = whole()
    camera.until(lambda: len(camera.depths) > 2 * lens.MISSING_AFTER and inputs(reports))
    assert not [text for text in found if 'camera_info' in text]


def test_an_uncalibrated_camera_is_said_once(graph, model, canonical, warnings):
    """K is zero; a calibration that comes later, and one that goes again, are followed."""
    found = warnings(graph.perception(model=model, tasks=['depth']))
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = Camera(graph)
    camera.info = CameraInfo(height=48, width=64)
    camera.until_ratio(canonical, 1.0)
    problem = 'scale of depth unknown: /camera_info has K = 0: uncalibrated camera'
    camera.until(lambda: inputs(reports) and inputs(reports)[-1].message == problem)
    assert inputs(reports)[-1].level == DiagnosticStatus.WARN
    camera.info = whole()
    camera.until_ratio(canonical, relative(50) / CANONICAL)
    camera.until(lambda: inputs(reports)[-1].level == DiagnosticStatus.OK)
    camera.info = CameraInfo(height=48, width=64)
    camera.until_ratio(canonical, 1.0)
    (warning,) = [text for text in found if 'camera_info' in text]
    assert warning.startswith('/camera_info has K = 0: uncalibrated camera; until then depth is')
    assert 'calibrate the camera (camera_calibration)' in warning


def test_the_calibration_of_another_image_is_not_used(graph, model, canonical, warnings):
    found = warnings(graph.perception(model=model, tasks=['depth']))
    camera = Camera(graph)
    camera.info = whole(height=36, width=64)
    camera.until(lambda: [text for text in found if 'does not fit an image of 64x48' in text])
    camera.until_ratio(canonical, 1.0)


def test_models_that_know_no_lens_stay_as_they_were(graph, canonical, warnings):
    found = warnings(graph.perception(model='scenes_nano', tasks=['depth']))
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = Camera(graph)
    camera.until(lambda: len(camera.depths) > 2 * lens.MISSING_AFTER and inputs(reports))
    assert camera.ratio(canonical) == pytest.approx(1, rel=1e-3)
    camera.info = whole(10.0)
    before = len(camera.depths)
    camera.until(lambda: len(camera.depths) > before + 5)
    assert camera.ratio(canonical) == pytest.approx(1, rel=1e-3)
    assert 'relative focal length' not in values(inputs(reports)[-1])
    assert inputs(reports)[-1].level == DiagnosticStatus.OK
    assert not found


def test_without_depth_no_lens_is_missed(graph, model, warnings):
    found = warnings(graph.perception(model=model, tasks=['depth', 'edges']))
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    edges = graph.listen(Image, '/adamtl/edges/image')
    publisher = graph.client.create_publisher(Image, 'image', RELIABLE)

    def enough():
        publisher.publish(image())
        return len(edges) > 2 * lens.MISSING_AFTER and inputs(reports)

    graph.until(enough)
    assert not [text for text in found if 'camera_info' in text]
    assert 'relative focal length' not in values(inputs(reports)[-1])


def test_each_camera_has_its_lens(graph, model, canonical, warnings):
    """One is calibrated, one is not, one has no calibration; simulated time stands still."""
    names = ['wide', 'zero', 'none']
    node = graph.perception(cameras=names, model=model, tasks=['depth'], use_sim_time=True)
    found = warnings(node)
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    wide, zero, none = (Camera(graph, name) for name in names)
    wide.info, zero.info = whole(30.0), CameraInfo(height=48, width=64)

    def enough():
        for camera in (wide, zero, none):
            camera.send()
        return all(len(camera.depths) > 2 * lens.MISSING_AFTER for camera in (wide, zero, none))

    graph.until(enough)
    assert wide.ratio(canonical) == pytest.approx(relative(30) / CANONICAL, rel=0.01)
    for camera in (zero, none):
        assert camera.ratio(canonical) == pytest.approx(1, rel=1e-3)
    said = sorted(text.partition(';')[0] for text in found if 'camera_info' in text)
    assert said == [
        '/zero/camera_info has K = 0: uncalibrated camera', 'no camera_info on /none/camera_info',
    ]  # fmt: skip
    seen = len(reports)
    graph.until(lambda: (enough(), len(reports) > seen + 2)[1])
    levels = {name: inputs(reports, name)[-1].level for name in names}
    warn = DiagnosticStatus.WARN
    assert levels == {'wide': DiagnosticStatus.OK, 'zero': warn, 'none': warn}


def test_the_lens_survives_a_pause_and_a_new_configuration(graph, model, canonical):
    """The calibration stays over a deactivation; after a cleanup the next one counts."""
    node = graph.perception(model=model, tasks=['depth'])
    camera = Camera(graph)
    camera.info = whole()
    camera.until_ratio(canonical, relative(50) / CANONICAL)
    node.trigger_deactivate()
    camera.info = None
    del camera.depths[:]
    node.trigger_activate()
    camera.until(lambda: camera.depths)
    assert camera.ratio(canonical) == pytest.approx(relative(50) / CANONICAL, rel=0.01)
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.trigger_configure()
    del camera.depths[:]
    node.trigger_activate()
    camera.until_ratio(canonical, 1.0)
    camera.info = whole(25.0)
    camera.until_ratio(canonical, relative(25) / CANONICAL)


@pytest.mark.parametrize(
    ('remaps', 'topic'),
    [
        ([], '/camera_info'),
        (['image:=/camera/image_raw'], '/camera/camera_info'),
        (['image:=/camera/image_raw', 'camera_info:=camera_info'], '/camera/camera_info'),
        (['image:=/camera/image_raw', 'camera_info:=/other/info'], '/other/info'),
        (['camera_info:=/other/info'], '/other/info'),
    ],
)
def test_the_calibration_is_beside_the_image_unless_it_is_remapped(graph, remaps, topic):
    node = graph.perception(model='nano', remaps=remaps)
    assert [i.node_name for i in node.get_subscriptions_info_by_topic(topic)] == ['adamtl']
