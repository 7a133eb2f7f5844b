# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small recordings for tests."""

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from adamtl_ros.bags.ground_truth import ClassMap, TruthConfig
from adamtl_ros.bags.reader import CAMERA_INFO, COMPRESSED, RAW, IssueLog
from adamtl_ros.bags.writer import LABEL_INFO, own_typestore
from adamtl_ros.evaluation.bags.recording import Frame, Recording
from adamtl_ros.evaluation.bags.result import FrameCost
from adamtl_ros.tasks import TASKS

STORE = own_typestore()
STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]
CAMERA = '/camera/image_raw'
SECOND = 1_000_000_000
PERIOD = SECOND // 10
HEIGHT, WIDTH = 48, 64
ENCODINGS = {
    ('uint8', 2): 'mono8', ('uint8', 3): 'rgb8', ('uint16', 2): '16UC1', ('float32', 2): '32FC1',
    ('float32', 3): '32FC3',
}  # fmt: skip


def stamp(number):
    """Return the header stamp of frame `number` [ns]."""
    return 100 * SECOND + number * PERIOD


def truth(task):
    """Return the usual topic of ground truth."""
    return f'/ground_truth/{task}/image'


def header(nanoseconds):
    time = STORE.types['builtin_interfaces/msg/Time'](*divmod(nanoseconds, SECOND))
    return STORE.types['std_msgs/msg/Header'](time, 'camera_optical_frame')


def image(nanoseconds, array, encoding=''):
    """Return a raw image as (type, message)."""
    array = np.ascontiguousarray(array)
    encoding = encoding or ENCODINGS[array.dtype.name, array.ndim]
    size, row = array.shape[:2], array.nbytes // len(array)
    pixels = array.view(np.uint8).ravel()
    return RAW, STORE.types[RAW](header(nanoseconds), *size, encoding, 0, row, pixels)


def compressed(nanoseconds, array, extension='.png', kind='png'):
    """Return a compressed image as (type, message)."""
    data = cv2.imencode(extension, array[..., ::-1] if array.ndim == 3 else array)[1].ravel()
    return COMPRESSED, STORE.types[COMPRESSED](header(nanoseconds), kind, data)


def label_info(*names):
    """Return the names of classes from 0 as (type, message)."""
    entry = STORE.types['vision_msgs/msg/VisionClass']
    table = [entry(number, name) for number, name in enumerate(names)]
    return LABEL_INFO, STORE.types[LABEL_INFO](header(0), table, 0.0)


def camera_info(focal, middle, size):
    """Return a calibration without distortion for a height and width as (type, message)."""
    region = STORE.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, do_rectify=False)
    matrix = np.array([focal, 0, middle[0], 0, focal, middle[1], 0, 0, 1], float)
    projection = np.insert(matrix, [3, 6, 9], 0)
    return CAMERA_INFO, STORE.types[CAMERA_INFO](
        header(0), *size, 'plumb_bob', np.zeros(5), matrix, np.eye(3).ravel(), projection, 0, 0,
        region,
    )  # fmt: skip


def picture(seed, height=HEIGHT, width=WIDTH):
    """Return smooth random colors, (H, W, 3) RGB."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def plain(value, kind=np.uint8, height=HEIGHT, width=WIDTH):
    """Return an image of one value."""
    return np.full((height, width), value, kind)


def frames(numbers, topic=CAMERA):
    """Return entries for `write()`: a camera, each image recorded 5 ms after its stamp."""
    return [(stamp(n) + 5_000_000, topic, image(stamp(n), picture(n))) for n in numbers]


def write(path, entries, storage=StoragePlugin.MCAP, mode=CompressionMode.NONE):
    """Write a bag of (time of recording, topic, (type, message or its bytes)).

    A topic whose entry has None for a message is there, but has no messages.
    """
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for time, topic, (kind, message) in entries:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            if message is not None:
                data = message if isinstance(message, bytes) else STORE.serialize_cdr(message, kind)
                writer.write(connections[topic], time, data)
    return path


def storage_file(path):
    """Return the one file of a bag that holds its messages."""
    (file,) = (one for one in path.iterdir() if one.name != 'metadata.yaml')
    return file


def open_recording(path, tasks=('semseg',), camera='', truth=None, classes=None, **options):
    """Return a recording, and its log of issues."""
    issues = IssueLog()
    chosen = {name: TASKS[name] for name in tasks}
    config = TruthConfig(camera, truth or {}, classes or ClassMap(), **options)
    return Recording(path, chosen, config, issues), issues


def counts(issues):
    """Return the number of issues by kind."""
    return {entry['what']: entry['count'] for entry in issues.to_list()}


def cost(fraction, number=0, latency_ms=10.0, **others):
    """Return the cost of frame `number` for a fraction of the full MACs."""
    values = {
        'stamp': stamp(number), 'macs': round(1000 * fraction), 'macs_full': 1000, 'blocks_run': 3,
        'windows_run': 7, 'decode_ms': 1.0, 'preprocess_ms': 1.0, 'infer_ms': latency_ms - 3,
        'postprocess_ms': 1.0, 'energy_j': float('nan'),
    }  # fmt: skip
    return FrameCost(**{**values, **others})


def seen(number, array=None):
    """Return frame `number` of a recording, without ground truth."""
    array = picture(number) if array is None else array
    return Frame(number, stamp(number), stamp(number) + 5_000_000, 'camera', array)
