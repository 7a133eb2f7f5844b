# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Viewer of a real node: scenes with image, results and lens; budget; nothing while unwatched."""

import numpy as np
import pytest
from helpers.ros_images import RELIABLE, camera_info, image, picture, send_until
from sensor_msgs.msg import CameraInfo, Image

from adamtl_ros.commands.main import main
from adamtl_ros.tasks import TASKS
from adamtl_ros.view.node import NodeView
from adamtl_ros.view.scene import SceneEncoder
from adamtl_ros.view.server import Hub


class Watched(Hub):
    """Hub that keeps its scenes, and that somebody watches or not."""

    looked_at = True

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.scenes = []

    @property
    def watched(self):
        """Whether somebody watches."""
        return self.looked_at

    def show(self, scene):
        """Keep a scene."""
        self.scenes.append(scene)


def test_a_node_is_shown(graph):
    node = graph.perception(model='scenes_nano', budget=0.8)
    view = NodeView(graph.client, '/adamtl')
    encoder = SceneEncoder(TASKS)
    hub = Watched(encoder, view, '/adamtl')
    view.show_in(hub, encoder)
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    lens = graph.client.create_publisher(CameraInfo, 'camera_info', RELIABLE)
    processor = node.cameras[''].processor
    graph.until(lambda: len(processor.active_tasks()) == len(TASKS))

    def complete():
        lens.publish(camera_info(240, 320))
        return any(
            set(s.results) == set(TASKS) and s.image is not None and s.calibration
            for s in hub.scenes
        )

    send_until(graph, camera, image(picture(240, 320)), complete)
    scene = hub.scenes[-1]
    np.testing.assert_array_equal(scene.image, picture(240, 320))
    assert scene.results['normals'].dtype == np.uint8  # the picture, not the vectors
    assert scene.results['depth'].dtype == np.float32
    assert scene.statistics.budget == pytest.approx(0.8)
    assert scene.calibration.k[0] == 50
    assert view.values()['budget'] == pytest.approx(0.8)

    view.change({'budget': 0.5, 'tasks': ['depth', 'edges']})
    assert node.parameters['budget'] == 0.5
    graph.until(lambda: processor.active_tasks() == ('depth', 'edges'))
    with pytest.raises(ValueError, match='budget must be a number'):
        view.change({'budget': 2})

    hub.looked_at = False
    graph.until(lambda: processor.active_tasks() == ())


def test_a_file_is_no_node(tmp_path, capsys):
    assert main(['view', str(tmp_path)]) == 1
    assert f"'adamtl run {tmp_path}' shows it" in capsys.readouterr().err


def test_a_node_that_does_not_run(graph):
    view = NodeView(graph.client, '/elsewhere/adamtl')
    hub = Watched(SceneEncoder(TASKS), view, 'title')
    view.show_in(hub, SceneEncoder(TASKS))
    graph.until(lambda: hub.message == '/elsewhere/adamtl does not run, or is not active')
    assert 'budget' not in view.values()
    with pytest.raises(ValueError, match='/elsewhere/adamtl does not run'):
        view.change({'budget': 0.5})
