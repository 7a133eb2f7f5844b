# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Layouts of RViz and Foxglove: their topics are outputs of the node, their panels are placed."""

import json
import re
from pathlib import Path

import pytest
import yaml

from adamtl_ros.tasks import TASKS

CONFIG = Path(__file__).resolve().parent.parent / 'config'
OUTPUTS = {
    'compute_stats',
    'overlay/image',
    'overlay/image/compressed',
    *(f'{name}/{kind}' for name in TASKS for kind in ('image', 'color', 'camera_info')),
}


@pytest.mark.parametrize('name', ['adamtl.rviz', 'foxglove.json'])
def test_topics_are_outputs_of_the_node(name):
    found = re.findall(r'/adamtl/([\w/]+)', (CONFIG / name).read_text())
    topics = {topic for topic in found if not topic.startswith('share')}
    assert topics >= {'overlay/image', 'depth/color'} or 'overlay/image/compressed' in topics
    assert topics <= OUTPUTS - {''}


def test_rviz():
    tree = yaml.safe_load((CONFIG / 'adamtl.rviz').read_text())
    displays = tree['Visualization Manager']['Displays']
    assert all(d['Class'].startswith('rviz_default_plugins/') for d in displays)
    # yaml-cpp knows no merge keys.
    assert '<<' not in (CONFIG / 'adamtl.rviz').read_text()
    images = [d for d in displays if d['Class'].endswith('/Image')]
    assert all(d['Topic']['Reliability Policy'] == 'Reliable' for d in images)


def test_foxglove():
    layout = json.loads((CONFIG / 'foxglove.json').read_text())

    def panels(node):
        if isinstance(node, str):
            return [node]
        assert node['direction'] in ('row', 'column')
        return panels(node['first']) + panels(node['second'])

    assert sorted(panels(layout['layout'])) == sorted(layout['configById'])
    message = (CONFIG.parent / 'msg' / 'ComputeStats.msg').read_text()
    for field in re.findall(r'compute_stats\.(\w+)', json.dumps(layout)):
        assert re.search(rf'^float32 {field}\b', message, re.MULTILINE), field
