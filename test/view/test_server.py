# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The viewer over HTTP: scenes as bytes, who waits, settings, and what other sites may not."""

import http.client
import json
import struct
import threading

import cv2
import numpy as np
import pytest

from adamtl_ros.sources.calibration import Calibration, from_field_of_view
from adamtl_ros.tasks import TASKS
from adamtl_ros.view.scene import CLOUD_WIDTH, OVERLAY_WIDTH, Scene, SceneEncoder, Statistics
from adamtl_ros.view.server import Hub, LocalSettings, ViewServer


def scene(width=64, height=48, **results):
    image = np.full((height, width, 3), (250, 10, 10), np.uint8)
    lens = from_field_of_view(90.0, height, width)
    return Scene(image, results, Statistics(model='m', macs=5.0), lens)


def decode(data):
    """Return the header and the parts by name."""
    (size,) = struct.unpack_from('<I', data)
    header, parts, offset = json.loads(data[4 : 4 + size]), {}, 4 + size
    for part in header['parts']:
        parts[part['name']] = data[offset : offset + part['size']]
        offset += part['size']
    assert offset == len(data)
    return header, parts


def pixels(data):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)


@pytest.fixture
def server():
    hub = Hub(SceneEncoder(TASKS), LocalSettings(TASKS, 0.5, ['depth']), 'a title')
    server = ViewServer(hub, port=0)
    server.start()
    yield server
    server.stop()


def ask(server, method='GET', path='/', body=None, **headers):
    """Return status, type and body of an answer."""
    connection = http.client.HTTPConnection('127.0.0.1', server.server_address[1], timeout=30)
    headers = {name.replace('_', '-'): value for name, value in headers.items()}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    result = answer.status, answer.headers['Content-Type'], answer.read()
    connection.close()
    return result


def post(server, values, kind='application/json'):
    status, _, body = ask(server, 'POST', '/settings', json.dumps(values), Content_Type=kind)
    return status, json.loads(body)


def test_a_scene_as_bytes():
    ids = np.zeros((48, 64), np.uint8)
    ids[:24] = 15
    depth = np.full((48, 64), 2.5, np.float32)
    depth[0, :4] = np.nan, np.inf, -1, 0
    made = scene(semseg=ids, depth=depth)
    header, parts = decode(SceneEncoder(TASKS).encode(made, {'number': 3}))
    assert list(parts) == ['overlay', 'camera', 'semseg', 'depth', 'depth_mm']
    assert header['number'] == 3
    assert header['statistics']['macs'] == 5.0
    assert header['statistics']['infer_ms'] is None  # JSON has no NaN
    assert [e['text'] for e in header['legends']['semseg']] == ['background', 'person']
    np.testing.assert_allclose(pixels(parts['camera'])[20, 20], (250, 10, 10), atol=6)
    cloud = header['cloud']
    assert (cloud['width'], cloud['height']) == (64, 48)
    assert cloud['k'] == pytest.approx([32, 32, 32, 24])
    grid = np.frombuffer(parts['depth_mm'], '<u2').reshape(48, 64)
    assert grid[0, :5].tolist() == [0, 0, 0, 0, 2500]


def test_large_images_are_sent_smaller():
    depth = np.full((960, 1280), 1.0, np.float32)
    header, parts = decode(SceneEncoder(TASKS).encode(scene(1280, 960, depth=depth), {}))
    assert pixels(parts['overlay']).shape == (OVERLAY_WIDTH * 3 // 4, OVERLAY_WIDTH, 3)
    # The lens of 1280 px, f = 640, becomes that of the grid of points.
    expected = [CLOUD_WIDTH / 2] * 3 + [CLOUD_WIDTH * 3 / 8]
    assert header['cloud']['k'] == pytest.approx(expected)


def test_no_points_without_a_lens_and_no_overlay_without_an_image():
    depth = np.full((48, 64), 1.0, np.float32)
    header, parts = decode(SceneEncoder(TASKS).encode(Scene(None, {'depth': depth}), {}))
    assert 'cloud' not in header
    assert list(parts) == ['depth']
    color = np.full((48, 64, 3), 90, np.uint8)  # `color` of a node, instead of its normals
    _, parts = decode(SceneEncoder(TASKS).encode(Scene(None, {'normals': color}), {}))
    assert abs(pixels(parts['normals']).mean() - 90) < 2
    lens = Calibration(64, 48, (1.0,) * 9)
    unknown = Scene(None, {'depth': np.full((48, 64), np.nan, np.float32)}, calibration=lens)
    _, parts = decode(SceneEncoder(TASKS).encode(unknown, {}))
    assert not any(parts['depth_mm'])


def test_the_page_loads_nothing_from_elsewhere(server):
    status, kind, body = ask(server)
    assert (status, kind) == (200, 'text/html; charset=utf-8')
    assert b'http://' not in body
    assert b'https://' not in body
    assert b'//cdn' not in body


def test_a_browser_waits_for_the_next_scene(server):
    assert not server.hub.watched
    server.hub.show(scene())
    _, kind, body = ask(server, path='/scene?after=0')
    header, _ = decode(body)
    assert (kind, header['number'], header['title']) == ('application/octet-stream', 1, 'a title')
    assert server.hub.watched
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(ask(server, path='/scene?after=1')))
    waiting.start()
    server.hub.show(scene())
    waiting.join(30)
    assert decode(answers[0][2])[0]['number'] == 2
    # One with a number of a server that ran before gets the newest at once.
    assert decode(ask(server, path='/scene?after=99')[2])[0]['number'] == 2


def test_without_a_new_scene_there_is_the_state(server):
    assert server.hub.wait_after(0, timeout_s=0.0) is None
    server.hub.close()
    status, kind, body = ask(server, path='/scene?after=0')
    assert (status, kind) == (202, 'application/json')
    assert json.loads(body)['settings']['budget'] == 0.5


def test_settings(server):
    settings = server.hub.settings
    assert post(server, {'budget': 1, 'tasks': ['edges', 'depth'], 'paused': True})[0] == 200
    assert (settings.budget, settings.tasks, settings.paused) == (1.0, ('depth', 'edges'), True)
    assert settings.changed.is_set()


@pytest.mark.parametrize(
    ('values', 'problem'),
    [
        ({'budget': 0}, 'budget must be a number from 0.01 to 1, got 0'),
        ({'budget': 'all'}, "budget must be a number from 0.01 to 1, got 'all'"),
        ({'budget': True}, 'budget must be a number from 0.01 to 1, got True'),
        ({'tasks': []}, 'tasks are a list of at least one of: semseg'),
        ({'tasks': ['smell']}, "unknown task 'smell'"),
        ({'budget': 0.7, 'tasks': 'depth'}, 'tasks are a list'),
        ({'colour': 1}, "no setting 'colour', choose from: budget, tasks, paused"),
        ([1], 'settings are an object, got [1]'),
    ],
)
def test_wrong_settings_change_nothing(server, values, problem):
    status, answer = post(server, values)
    assert status == 400
    assert answer['problem'].startswith(problem)
    assert server.hub.settings.values()['budget'] == 0.5
    assert not server.hub.settings.changed.is_set()


def test_other_sites_are_refused(server):
    """A form of another site can send text only; a page by another name is another site."""
    assert post(server, {'budget': 1}, 'text/plain')[0] == 400
    assert ask(server, Host='evil.example:80')[0] == 403
    assert ask(server, 'POST', '/settings', '{}', Host='evil.example')[0] == 403
    assert ask(server, Host=f'localhost:{server.server_address[1]}')[0] == 200
    assert ask(server, path='/../../etc/passwd')[0] == 404
    huge = '{"budget": 1' + ' ' * 20_000 + '}'
    assert ask(server, 'POST', '/settings', huge, Content_Type='application/json')[0] == 400


def test_a_refusal_ends_the_connection(server):
    """What came with a refused request must not be read as the next one."""
    connection = http.client.HTTPConnection('127.0.0.1', server.server_address[1], timeout=30)
    connection.request('POST', '/settings', '{"budget": 1}', {'Content-Type': 'text/plain'})
    answer = connection.getresponse()
    assert (answer.status, answer.headers['Connection']) == (400, 'close')
    connection.close()


def test_a_port_in_use(server):
    hub = server.hub
    port = server.server_address[1]
    with pytest.raises(ValueError, match=f'{port}: .*; another program uses it, choose one with'):
        ViewServer(hub, port=port)
    with pytest.raises(ValueError, match='port must be 0 to 65535, got 70000'):
        ViewServer(hub, port=70000)
