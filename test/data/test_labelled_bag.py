# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recordings with ground truth beside the camera."""

import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from adamtl_ros.bags.reader import COMPRESSED, RAW, BagError
from adamtl_ros.bags.writer import LABEL_INFO, own_typestore
from adamtl_ros.data.labelled_bag import LabelledBag
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import PASCAL_CLASSES, TASKS

STORE = own_typestore()
STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]
BAGS = Path('../shared/bags')
HEIGHT, WIDTH = 20, 30
ENCODINGS = {
    ('uint8', 2): 'mono8', ('uint8', 3): 'rgb8', ('uint16', 2): '16UC1', ('float32', 2): '32FC1',
    ('float32', 3): '32FC3', ('float64', 2): '64FC1',
}  # fmt: skip


def header(stamp):
    time = STORE.types['builtin_interfaces/msg/Time'](stamp, 0)
    return STORE.types['std_msgs/msg/Header'](time, 'camera')


def raw(stamp, array, encoding='', padding=0, big=False):
    """Return an image message; rows may be padded with 255, numbers big-endian."""
    array = np.asarray(array)
    encoding = encoding or ENCODINGS[array.dtype.name, array.ndim]
    stored = np.ascontiguousarray(array.byteswap() if big else array)
    rows = stored.view(np.uint8).reshape(len(array), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    size = array.shape[:2]
    message = STORE.types[RAW](header(stamp), *size, encoding, big, rows.shape[1], rows.ravel())
    return RAW, message


def png(stamp, array, extension='.png', kind='png'):
    data = cv2.imencode(extension, array[..., ::-1] if array.ndim == 3 else array)[1].ravel()
    return COMPRESSED, STORE.types[COMPRESSED](header(stamp), kind, data)


def full(value, kind=np.uint8):
    return np.full((HEIGHT, WIDTH), value, kind)


def picture(value):
    return np.full((HEIGHT, WIDTH, 3), (value, 10, 20), np.uint8)


def write(path, messages, storage=StoragePlugin.MCAP):
    """Write (topic, (type, message)) in this order, all but the first two at their own time."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {}
        for index, (topic, (kind, message)) in enumerate(messages):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            time = 10**9 + max(index, 1)
            writer.write(connections[topic], time, STORE.serialize_cdr(message, kind))
    return path


def one(tmp_path, task, message, **options):
    """Return the label that comes of a message of ground truth."""
    topics = [('/camera/image_raw', raw(1, picture(1))), (f'/ground_truth/{task}/image', message)]
    shutil.rmtree(tmp_path / 'bag', ignore_errors=True)
    return LabelledBag(write(tmp_path / 'bag', topics), **options)[0].labels[task]


@pytest.mark.parametrize('storage', STORAGES)
def test_images_with_the_labels_of_their_stamp(tmp_path, storage):
    messages = [
        ('/camera/image_raw', raw(1, picture(1))),
        ('/ground_truth/semseg/image', raw(1, full(7))),
        ('/camera/image_raw', raw(2, picture(2))),
        ('/ground_truth/depth/image', raw(4, full(2.5, np.float32))),
        ('/camera/image_raw', raw(3, picture(3))),
        ('/ground_truth/semseg/image', raw(3, full(9))),
        ('/ground_truth/depth/image', raw(3, full(3.5, np.float32))),
        ('/ground_truth/semseg/image', raw(5, full(9))),
    ]
    data = LabelledBag(write(tmp_path / 'bag', messages, storage))
    assert data.camera == '/camera/image_raw'
    assert data.tasks == {name: TASKS[name] for name in ('semseg', 'depth')}
    assert len(data) == 2
    for sample in (data[0], pickle.loads(pickle.dumps(data))[0]):  # noqa: S301
        assert sample.name == 'bag/1000000000'
        assert (sample.image == picture(1)).all()
        assert list(sample.labels) == ['semseg']
        assert (sample.labels['semseg'] == 7).all()
    assert (data[1].image == picture(3)).all()
    assert {k: v.flat[0] for k, v in data[1].labels.items()} == {'semseg': 9, 'depth': 3.5}
    data[1].image[0] = 0
    for index in (-1, 2):
        with pytest.raises(IndexError, match='is outside 0 to 1'):
            data[index]
    data.close()
    assert (data[1].image == picture(3)).all()


def test_a_forked_process_reads_for_itself(tmp_path):
    topics = [('/camera', raw(1, picture(1))), ('/ground_truth/edges/image', raw(1, full(1)))]
    data = LabelledBag(write(tmp_path / 'bag', topics))
    reader = data._reader()
    assert data._reader() is reader
    data._process = os.getpid() + 1
    assert data._reader() is not reader
    assert data[0].labels['edges'].all()


def test_compressed_cameras_and_named_topics(tmp_path):
    depth = full(1500, np.uint16)
    depth[0] = 0
    messages = [
        ('/grey', raw(1, full(3))),
        ('/left/compressed', png(1, picture(200))),
        ('/depth', png(1, depth)),
        ('/labels', raw(1, full(4))),
    ]
    path = write(tmp_path / 'bag', messages)
    data = LabelledBag(path, truth={'depth': '/depth', 'semseg': '/labels'})
    assert (data.camera, data.truth) == (
        '/left/compressed',
        {'semseg': '/labels', 'depth': '/depth'},
    )
    sample = data[0]
    assert (sample.image == picture(200)).all()
    assert (sample.labels['depth'][1:] == 1.5).all()
    assert np.isnan(sample.labels['depth'][0]).all()
    grey = LabelledBag(path, '/grey', {'semseg': '/labels'})[0]
    assert (grey.image == 3).all()
    assert grey.image.shape == (HEIGHT, WIDTH, 3)


def test_a_grey_camera_is_not_mistaken_for_labels(tmp_path):
    labels = ('/ground_truth/semseg/image', raw(1, full(4)))
    path = write(tmp_path / 'bag', [labels, ('/zoom', raw(1, full(9))), labels])
    assert LabelledBag(path).camera == '/zoom'
    with pytest.raises(BagError, match=r"no camera images besides the ground truth on \['/ground"):
        LabelledBag(write(tmp_path / 'none', [labels]))


def test_padding_and_byte_order(tmp_path):
    depth = np.arange(HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH) + 1
    for message in (raw(1, depth, padding=8), raw(1, depth, big=True)):
        assert (one(tmp_path, 'depth', message, max_depth=1000) == depth).all()
    normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    normals[1:] = 0, 0.6, -0.8
    label = one(tmp_path, 'normals', raw(1, normals, padding=12, big=True))
    np.testing.assert_allclose(label[1:], normals[1:], atol=1e-6)
    assert np.isnan(label[0]).all()


def test_masks_of_either_scale(tmp_path):
    mask = full(0)
    mask[:5] = 1
    for scale in (1, 255):
        assert (one(tmp_path, 'saliency', raw(1, mask * scale, '8UC1')) == mask).all()
    unknown = np.where(mask, 255, full(1)).astype(np.uint8)
    assert (one(tmp_path, 'edges', raw(1, unknown)) == unknown).all()
    assert (one(tmp_path, 'edges', raw(1, mask * 200)) == mask).all()


def test_depth_of_other_encodings(tmp_path):
    millimeters = full(250, np.uint16)
    kind, message = png(1, millimeters)
    message.format = '16UC1; compressedDepth png'
    message.data = np.concatenate([np.zeros(12, np.uint8), message.data])
    for truth in (raw(1, millimeters), raw(1, millimeters, 'mono16', big=True), (kind, message)):
        label = one(tmp_path, 'depth', truth)
        assert label.dtype == np.float32
        assert (label == 0.25).all()
    unknown = np.float32([[0, -1], [np.inf, np.nan]])
    assert np.isnan(one(tmp_path, 'depth', raw(1, unknown))).all()


def test_small_labels_are_brought_to_the_size_of_the_image(tmp_path):
    label = one(tmp_path, 'semseg', raw(1, np.uint8([[1, 2], [3, 255]])))
    assert (label == np.kron([[1, 2], [3, 255]], np.ones((10, 15)))).all()


@pytest.mark.parametrize('storage', STORAGES)
def test_class_names_of_the_bag_and_of_the_caller(tmp_path, storage):
    entry = STORE.types['vision_msgs/msg/VisionClass']
    table = [entry(0, 'sky'), entry(2, 'road'), entry(255, 'unlabelled')]
    info = STORE.types[LABEL_INFO](header(0), table, 0.5)
    messages = [
        ('/camera', raw(1, picture(1))),
        ('/ground_truth/semseg/image', raw(1, full(2))),
        ('/ground_truth/semseg/label_info', (LABEL_INFO, info)),
        ('/ground_truth/human_parts/image', raw(1, full(2))),
    ]
    path = write(tmp_path / 'bag', messages, storage)
    data = LabelledBag(path)
    assert data.tasks['semseg'].classes == ('sky', 'class 1', 'road')
    assert data.tasks['human_parts'] == TASKS['human_parts']
    named = LabelledBag(path, classes={'semseg': ['a', 'b']})
    assert named.tasks['semseg'].classes == ('a', 'b')
    with pytest.raises(
        DataError, match=r'semseg \(else name its classes\): class id 2, .* 2 classes'
    ):
        named[0]
    with pytest.raises(ValueError, match="unknown task 'depth', choose from: semseg, human_parts"):
        LabelledBag(path, classes={'depth': ['a']})


def test_topics_that_are_missing(tmp_path):
    camera = ('/camera', raw(1, picture(1)))
    path = write(tmp_path / 'bag', [camera, ('/ground_truth/semseg/image', raw(2, full(1)))])
    with pytest.raises(
        DataError, match=r'no ground truth has the header stamp .*1 stamps on /camera'
    ):
        LabelledBag(path)
    with pytest.raises(
        DataError, match=r'no images on /nowhere for depth; it holds: /camera \(sens'
    ):
        LabelledBag(path, truth={'depth': '/nowhere'})
    with pytest.raises(ValueError, match="unknown task 'colour', choose from: semseg"):
        LabelledBag(path, truth={'colour': '/camera'})
    with pytest.raises(BagError, match=r'no images on /front; it holds: /camera'):
        LabelledBag(path, '/front')
    with pytest.raises(BagError, match='no such file or folder'):
        LabelledBag(tmp_path / 'nowhere')
    with pytest.raises(
        DataError, match=r'no ground truth on /ground_truth/semseg/image.*/camera \('
    ):
        LabelledBag(write(tmp_path / 'bare', [camera]))


@pytest.mark.parametrize(
    ('task', 'message', 'reason'),
    [
        ('semseg', raw(1, full(1, np.uint16)), "encoding '16UC1', allowed are: mono8, 8UC1"),
        ('semseg', raw(1, picture(1)), "encoding 'rgb8', allowed are: mono8, 8UC1"),
        ('depth', raw(1, full(1, np.float64)), "'64FC1', allowed are: 32FC1, 16UC1, mono16"),
        ('normals', raw(1, full(1)), "'mono8', allowed are: 32FC3"),
        ('semseg', raw(1, full(21)), 'class id 21, but there are 21 classes'),
        ('semseg', png(1, full(1), '.jpg', 'jpeg'), "'jpeg' loses what labels say"),
        ('semseg', png(1, picture(1)), "encoding 'bgr8', allowed are: mono8"),
        ('depth', png(1, full(1), kind='32FC1; compressedDepth png'), 'is quantized'),
    ],
)
def test_labels_that_cannot_be_used_are_named(tmp_path, task, message, reason):
    place = f'/ground_truth/{task}/image at 1000000000 ns: '
    with pytest.raises(DataError, match=f'(?s){place}.*{reason}'):
        one(tmp_path, task, message)


def test_damaged_messages(tmp_path):
    _, message = raw(1, full(1))
    message.data = message.data[:-1]
    with pytest.raises(DataError, match=r'599 bytes of data are less than step . height = 30 . 20'):
        one(tmp_path, 'semseg', (RAW, message))
    _, message = png(1, full(1))
    message.data = message.data[:20]
    with pytest.raises(DataError, match=r"20 bytes of format 'png' are not a whole image"):
        one(tmp_path, 'semseg', (COMPRESSED, message))
    good, bad = png(1, picture(1)), png(2, picture(1))
    bad[1].data = bad[1].data[:0]
    label = '/ground_truth/semseg/image'
    messages = [('/c', good), (label, raw(1, full(1))), ('/c', bad), (label, raw(2, full(1)))]
    data = LabelledBag(write(tmp_path / 'camera', messages))
    with pytest.raises(DataError, match=r"/c at 2000000000 ns: 0 bytes of format 'png' are not"):
        data[1]


def test_messages_that_are_cut_off(tmp_path):
    kind, message = raw(1, full(1))
    whole = STORE.serialize_cdr(message, kind)
    for length, reason in ((70, '/ground_truth/edges/image at 1000000000 ns'), (5, 'is damaged')):
        with Writer(tmp_path / str(length), version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            for topic, data in (('/camera', whole), ('/ground_truth/edges/image', whole[:length])):
                connection = writer.add_connection(topic, kind, typestore=STORE)
                writer.write(connection, 1, data)
        with pytest.raises(ValueError, match=reason):
            LabelledBag(tmp_path / str(length), '/camera')[0]


def test_a_bag_that_changes_meanwhile(tmp_path):
    topics = [('/camera', raw(1, picture(1))), ('/ground_truth/edges/image', raw(1, full(1)))]
    data = LabelledBag(write(tmp_path / 'bag', topics))
    data.close()
    shutil.rmtree(tmp_path / 'bag')
    write(tmp_path / 'bag', topics[:1])
    with pytest.raises(BagError, match='is not as it was when it was opened'):
        data[0]


@pytest.mark.skipif(not BAGS.is_dir(), reason='needs ../shared/bags')
def test_real_bags():
    street = LabelledBag(BAGS / 'street_semseg')
    assert (len(street), street.camera) == (24, '/camera/image_raw')
    assert street.tasks['semseg'].classes == PASCAL_CLASSES
    assert set(np.unique(street[7].labels['semseg'])) <= {*range(11), 255}
    rooms = LabelledBag(BAGS / 'indoor_rgbd', truth={'depth': '/camera/depth/image_raw/compressed'})
    depth = rooms[179].labels['depth']
    assert (len(rooms), depth.shape) == (180, (480, 640))
    assert 0.3 < np.nanmin(depth) < np.nanmax(depth) < 10


def test_id_maps_join_classes_and_leave_others_out(tmp_path):
    ids = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8) % 5
    messages = [('/camera', raw(1, picture(1))), ('/ground_truth/semseg/image', raw(1, ids))]
    path = write(tmp_path / 'bag', messages)
    streets = {0: 'ignore', 1: 'wall', 2: 'floor', 3: 'wall'}
    data = LabelledBag(path, classes={'semseg': streets})
    assert data.tasks['semseg'].classes == ('wall', 'floor')
    expected = np.uint8([255, 0, 1, 0, 255])[ids]
    assert (data[0].labels['semseg'] == expected).all()
    assert next(iter(data.issues)).startswith('semseg has id 4, which nothing says the class of')
    model = {'semseg': ['floor', 'lamp', 'wall']}
    data = LabelledBag(path, classes={'semseg': streets}, model_classes=model)
    assert data.tasks['semseg'].classes == ('floor', 'lamp', 'wall')
    for one in (data, pickle.loads(pickle.dumps(data))):  # noqa: S301
        assert (one[0].labels['semseg'] == np.uint8([255, 2, 0, 2, 255])[ids]).all()
    with pytest.raises(ValueError, match=r"semseg 1 is 'wall', which .* choose from: floor, ignor"):
        LabelledBag(path, classes={'semseg': streets}, model_classes={'semseg': ['floor']})
    with pytest.raises(ValueError, match=r"'semseg': id 'floor' is not in 0\.\.254"):
        LabelledBag(path, classes={'semseg': {'floor': 1}})


def test_a_depth_camera_is_ground_truth_unless_refused(tmp_path):
    messages = [
        ('/camera/image', png(1, picture(1))),
        ('/camera/depth', raw(1, full(1500, np.uint16))),
    ]
    path = write(tmp_path / 'bag', messages)
    with pytest.raises(DataError, match=r'no ground truth on .* with --truth TASK=TOPIC'):
        LabelledBag(path, depth_camera=False)
    data = LabelledBag(path)
    assert data.describe() == [
        'bag: 1 labelled images on /camera/image',
        '  depth: /camera/depth (depth camera)',
    ]
    assert (data.truth, list(data.tasks)) == ({'depth': '/camera/depth'}, ['depth'])
    for one in (data, pickle.loads(pickle.dumps(data))):  # noqa: S301
        assert (one[0].labels['depth'] == 1.5).all()
    with pytest.raises(DataError, match='no ground truth on'):
        LabelledBag(write(tmp_path / 'grey', messages[:1]))
    kind, message = raw(1, full(1500, np.uint16))
    message.header.frame_id = 'elsewhere'
    other = [messages[0], ('/camera/depth', (kind, message))]
    with pytest.raises(DataError, match=r"has frame_id 'elsewhere', .* name it: --truth depth="):
        LabelledBag(write(tmp_path / 'other', other))


def test_a_depth_camera_of_other_times_teaches_nothing(tmp_path):
    """A task without a single label would not be trained, but reported as if it were."""
    messages = [
        ('/camera/image', png(1, picture(1))),
        ('/camera/depth', raw(2, full(1500, np.uint16))),
    ]
    with pytest.raises(DataError, match='no ground truth has the header stamp of an image'):
        LabelledBag(write(tmp_path / 'depth', messages))
    messages.append(('/ground_truth/edges/image', png(1, full(1))))
    data = LabelledBag(write(tmp_path / 'edges', messages))
    assert (list(data.tasks), list(data[0].labels)) == (['edges'], ['edges'])
    issue = 'depth camera is not used: /camera/depth has no header stamp of an image'
    assert issue in list(data.issues)


@pytest.mark.parametrize(('options', 'believed'), [({}, 15.0), ({'max_depth': 40}, 30.0)])
def test_depth_that_no_sensor_measures_is_no_label(tmp_path, options, believed):
    depth = np.uint16([[0, 1], [15000, 30000], [50000, 65535]])
    found = one(tmp_path, 'depth', raw(1, np.kron(depth, np.ones((2, 2), np.uint16))), **options)
    known = found[np.isfinite(found)]
    assert (known.min(), known.max()) == (np.float32(0.001), believed)
    with pytest.raises(ValueError, match='must be a number of meters above 0, got 0'):
        LabelledBag(tmp_path / 'bag', max_depth=0)
