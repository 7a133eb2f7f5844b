# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Finding the camera in a bag."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from adamtl_ros.bags.reader import (
    CAMERA_INFO,
    COMPRESSED,
    RAW,
    BagError,
    find_camera,
    header_stamp,
    open_bag,
    typestore,
)
from adamtl_ros.data.synthetic import write_synthetic_bag

STORE = typestore()
BAGS = Path('../shared/bags')
STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]


def header(stamp=5, frame='camera'):
    time = STORE.types['builtin_interfaces/msg/Time'](stamp, 250)
    return STORE.types['std_msgs/msg/Header'](time, frame)


def raw_image(encoding='bgr8', height=4, width=6):
    channels = {'mono8': 1, '16UC1': 2}.get(encoding, 3)
    data = np.zeros(height * width * channels, np.uint8)
    kind = STORE.types[RAW]
    return kind(header(), height, width, encoding, 0, width * channels, data)


def compressed_image(array, extension='.png'):
    data = cv2.imencode(extension, array)[1].ravel()
    return STORE.types[COMPRESSED](header(), extension[1:], data)


def write_bag(path, messages, storage=StoragePlugin.MCAP):
    """Write (topic, type, message, how many)."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for topic, kind, message, count in messages:
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for index in range(count):
                writer.write(connection, 10**9 + index, STORE.serialize_cdr(message, kind))


@pytest.mark.parametrize('storage', STORAGES)
def test_color_goes_before_grey_depth_and_numbers(tmp_path, storage):
    depth = compressed_image(np.zeros((4, 6), np.uint16))
    write_bag(
        tmp_path / 'bag',
        [
            ('/a/depth/compressed', COMPRESSED, depth, 9),
            ('/a/mask', RAW, raw_image('mono8'), 9),
            ('/a/depth', RAW, raw_image('16UC1'), 9),
            ('/b/image', RAW, raw_image('bgr8'), 2),
            ('/c/image', RAW, raw_image('rgb8'), 3),
        ],
        storage,
    )
    camera = find_camera(tmp_path / 'bag')
    assert (camera.image, camera.compressed, camera.frames) == ('/c/image', False, 3)
    assert camera.others == ('/b/image', '/a/mask')
    assert find_camera(tmp_path / 'bag', '/b/image').frames == 2
    assert find_camera(tmp_path / 'bag', '/a/mask').frames == 9


def test_grey_camera_when_there_is_no_other(tmp_path):
    jpeg = compressed_image(np.zeros((4, 6), np.uint8), '.jpg')
    write_bag(tmp_path / 'bag', [('/grey/compressed', COMPRESSED, jpeg, 1)])
    camera = find_camera(tmp_path / 'bag')
    assert (camera.image, camera.compressed, camera.info) == ('/grey/compressed', True, None)


def test_nothing_to_see(tmp_path):
    depth = compressed_image(np.zeros((4, 6), np.uint16))
    write_bag(tmp_path / 'bag', [('/depth/compressed', COMPRESSED, depth, 3)])
    with pytest.raises(BagError, match=r'no camera images; it holds: /depth/compressed'):
        find_camera(tmp_path / 'bag')
    with pytest.raises(BagError, match='no images on /front; it holds'):
        find_camera(tmp_path / 'bag', '/front')


def test_damaged_and_missing_bags(tmp_path):
    with pytest.raises(BagError, match='nowhere: no such file or folder'):
        find_camera(tmp_path / 'nowhere')
    with pytest.raises(BagError, match=r'it holds no .mcap or .db3 file'):
        find_camera(tmp_path)
    path = tmp_path / 'bag'
    write_bag(path, [('/image', RAW, raw_image(), 1)])
    with pytest.raises(BagError, match='is no bag, but holds some: bag'):
        find_camera(tmp_path)
    file = path / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BagError, match='not a ROS 2 bag that can be read'):
        find_camera(path)


def test_calibration_of_the_same_camera(tmp_path):
    write_synthetic_bag(tmp_path / 'bag', frames=2, size=(24, 32))
    with open_bag(tmp_path / 'bag') as reader:
        messages = [
            reader.deserialize(raw, c.msgtype)
            for c, _, raw in reader.messages()
            if c.msgtype == CAMERA_INFO
        ]
    info = messages[0]
    write_bag(
        tmp_path / 'two',
        [
            ('/left/image', RAW, raw_image(), 1),
            ('/left/camera_info', CAMERA_INFO, info, 1),
            ('/right/camera_info', CAMERA_INFO, info, 1),
        ],
    )
    assert find_camera(tmp_path / 'two').info == '/left/camera_info'
    write_bag(
        tmp_path / 'deep',
        [
            ('/camera', RAW, raw_image(), 1),
            ('/camera/camera_info', CAMERA_INFO, info, 1),
            ('/other/camera_info', CAMERA_INFO, info, 1),
        ],
    )
    assert find_camera(tmp_path / 'deep').info == '/camera/camera_info'
    write_bag(
        tmp_path / 'none',
        [('/left/image', RAW, raw_image(), 1), ('/right/camera_info', CAMERA_INFO, info, 1)],
    )
    assert find_camera(tmp_path / 'none').info is None
    write_bag(
        tmp_path / 'root',
        [('/image', RAW, raw_image(), 1), ('/camera_info', CAMERA_INFO, info, 1)],
    )
    assert find_camera(tmp_path / 'root').info == '/camera_info'


def test_ros1_bag_is_refused(tmp_path):
    from rosbags.rosbag1 import Writer as Ros1Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    with Ros1Writer(tmp_path / 'old.bag') as writer:
        connection = writer.add_connection('/x', 'std_msgs/msg/Int8', typestore=store)
        message = store.types['std_msgs/msg/Int8'](1)
        writer.write(connection, 1, store.serialize_ros1(message, 'std_msgs/msg/Int8'))
    with pytest.raises(BagError, match='is a ROS 1 bag; convert it'):
        find_camera(tmp_path / 'old.bag')


def test_header_stamp_in_both_byte_orders():
    little = STORE.serialize_cdr(raw_image(), RAW, little_endian=True)
    big = STORE.serialize_cdr(raw_image(), RAW, little_endian=False)
    assert header_stamp(little) == header_stamp(big) == 5_000_000_250


@pytest.mark.skipif(not BAGS.is_dir(), reason='needs ../shared/bags')
def test_real_bags():
    indoor, street = find_camera(BAGS / 'indoor_rgbd'), find_camera(BAGS / 'street_semseg')
    assert (indoor.image, indoor.frames) == ('/camera/image_raw/compressed', 180)
    assert (street.image, street.frames) == ('/camera/image_raw', 24)
    assert indoor.info == street.info == '/camera/camera_info'
