# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes as bags, read back."""

from collections import Counter

import numpy as np
import pytest

from adamtl_ros.bags.reader import (
    CAMERA_INFO,
    COMPRESSED,
    RAW,
    find_camera,
    header_stamp,
    open_bag,
    read_images,
)
from adamtl_ros.bags.writer import LABEL_INFO
from adamtl_ros.data.labelled_bag import LabelledBag
from adamtl_ros.data.synthetic import IMAGE, INFO, RATE_HZ, START_NS, write_synthetic_bag
from adamtl_ros.scenes.compose import demo_scene, random_scene
from adamtl_ros.scenes.labels import SCENE_CLASSES
from adamtl_ros.tasks import TASKS

FRAMES, SIZE = 4, (48, 64)
SCENE = random_scene(5, 0.8)


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return a bag with ground truth and one without."""
    folder = tmp_path_factory.mktemp('bags')
    write_synthetic_bag(folder / 'truth', SCENE, frames=FRAMES, size=SIZE, truth=True)
    write_synthetic_bag(folder / 'plain', SCENE, frames=FRAMES, size=SIZE)
    return folder


def content(path):
    """Return topic, type, time and bytes of all messages."""
    with open_bag(path) as reader:
        return [(c.topic, c.msgtype, time, bytes(raw)) for c, time, raw in reader.messages()]


def test_labels_come_back_as_they_were_drawn(bags):
    data = LabelledBag(bags / 'truth', classes={'semseg': SCENE_CLASSES})
    assert len(data) == FRAMES
    assert data.camera == IMAGE
    assert list(data.tasks) == list(TASKS)
    assert data.tasks['semseg'].classes == SCENE_CLASSES
    for index in range(FRAMES):
        rendered, read = SCENE.frame(index / RATE_HZ, SIZE, 1), data[index]
        assert list(read.labels) == list(TASKS)
        for name, label in rendered.labels.items():
            assert read.labels[name].dtype == label.dtype
            if name == 'normals':
                # Made unit vectors once more, which they are but for the last bit.
                np.testing.assert_allclose(read.labels[name], label, rtol=0, atol=1.2e-7)
            else:
                np.testing.assert_array_equal(read.labels[name], label)
        # JPEG smears the noise, and nothing else.
        off = read.image.astype(int) - rendered.image
        assert np.abs(off).mean() < 8
        assert np.abs(off.mean((0, 1))).max() < 2


def test_written_labels_are_the_drawn_ones_bit_for_bit(bags):
    kinds = {'normals': np.float32, 'depth': np.float32}
    with open_bag(bags / 'truth') as reader:
        seen = Counter()
        for connection, _, raw in reader.messages():
            if connection.msgtype != RAW:
                continue
            name = connection.topic.split('/')[2]
            message = reader.deserialize(raw, RAW)
            rendered = SCENE.frame(seen[name] / RATE_HZ, SIZE, 1).labels[name]
            seen[name] += 1
            stored = message.data.view(kinds.get(name, np.uint8)).reshape(rendered.shape)
            scale = 255 if name in ('saliency', 'edges') else 1
            np.testing.assert_array_equal(stored, scale * rendered)
            assert message.encoding == TASKS[name].encoding
            assert message.step * message.height == message.data.size
            assert not message.is_bigendian
    assert seen == dict.fromkeys(TASKS, FRAMES)


def test_without_truth_there_is_a_camera_and_nothing_else(bags):
    camera = find_camera(bags / 'plain')
    assert (camera.image, camera.compressed, camera.info) == (IMAGE, True, INFO)
    assert (camera.frames, camera.others) == (FRAMES, ())
    topics = Counter((topic, kind) for topic, kind, *_ in content(bags / 'plain'))
    assert topics == {(IMAGE, COMPRESSED): FRAMES, (INFO, CAMERA_INFO): FRAMES}
    assert find_camera(bags / 'truth').image == IMAGE


def test_stamps_are_at_15_hz_and_the_same_on_all_topics(bags):
    times = {}
    for topic, _, time, raw in content(bags / 'truth'):
        assert header_stamp(raw) == time
        times.setdefault(topic, []).append(time)
    names = [times.pop(f'/ground_truth/{task}/label_info') for task in ('semseg', 'human_parts')]
    assert names == [[START_NS], [START_NS]]
    assert len(times) == 2 + len(TASKS)
    for stamps in times.values():
        assert stamps == times[IMAGE]
    assert times[IMAGE][0] == START_NS
    np.testing.assert_allclose(np.diff(times[IMAGE]), 1e9 / 15, atol=1)
    # Rounding does not add up.
    assert times[IMAGE][3] - START_NS == 200_000_000


def test_images_can_be_read_without_ros(bags):
    found = list(read_images(bags / 'plain', find_camera(bags / 'plain')))
    assert [stamp for stamp, _ in found] == [START_NS + i * 10**9 // 15 for i in range(FRAMES)]
    for index, (_, image) in enumerate(found):
        assert (image.shape, image.dtype) == ((*SIZE, 3), np.uint8)
        rendered = SCENE.frame(index / RATE_HZ, SIZE, 1).image
        assert np.abs(image.mean((0, 1)) - rendered.mean((0, 1))).max() < 2
        # Red is red.
        swapped = np.abs(image.astype(int) - rendered[..., ::-1]).mean()
        assert 1.3 * np.abs(image.astype(int) - rendered).mean() < swapped


def test_the_calibration_is_that_of_the_camera(bags):
    camera = SCENE.view.camera(0, SIZE)
    with open_bag(bags / 'plain') as reader:
        for connection, _, raw in reader.messages():
            if connection.topic != INFO:
                continue
            info = reader.deserialize(raw, CAMERA_INFO)
            assert (info.height, info.width) == SIZE
            assert info.header.frame_id == 'camera_optical_frame'
            matrix = [[camera.focal, 0, 31.5], [0, camera.focal, 23.5], [0, 0, 1]]
            np.testing.assert_allclose(info.k.reshape(3, 3), matrix)
            np.testing.assert_allclose(info.p.reshape(3, 4)[:, :3], matrix)
            assert not info.d.any()
            np.testing.assert_array_equal(info.r.reshape(3, 3), np.eye(3))


def test_a_bag_can_be_written_again(bags, tmp_path):
    """Also by several processes, and with the same images whether with truth or without."""
    write_synthetic_bag(tmp_path / 'again', SCENE, frames=FRAMES, size=SIZE, truth=True, workers=2)
    first = content(bags / 'truth')
    assert content(tmp_path / 'again') == first
    seen = [message for message in first if message[1] not in (RAW, LABEL_INFO)]
    assert seen == content(bags / 'plain')


def test_the_demo_scene_is_as_long_as_the_bag(tmp_path):
    write_synthetic_bag(tmp_path / 'demo', frames=15, size=(24, 32), truth=True)
    data = LabelledBag(tmp_path / 'demo')
    assert len(data) == 15
    for index in (0, 14):
        rendered = demo_scene(1.0).frame(index / RATE_HZ, (24, 32), 1)
        np.testing.assert_array_equal(data[index].labels['depth'], rendered.labels['depth'])


def test_a_bag_is_not_overwritten(bags):
    before = content(bags / 'plain')
    with pytest.raises(Exception, match='exists'):
        write_synthetic_bag(bags / 'plain', SCENE, frames=1, size=SIZE)
    assert content(bags / 'plain') == before
