# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where a recording says what is true."""

import numpy as np
import pytest
from helpers.bag_files import (
    HEIGHT,
    PERIOD,
    STORAGES,
    WIDTH,
    camera_info,
    compressed,
    counts,
    frames,
    image,
    label_info,
    open_recording,
    plain,
    stamp,
    truth,
    write,
)

from adamtl_ros.bags.depth_normals import normals_from_depth
from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.bags.reader import CAMERA_INFO, RAW, BagError
from adamtl_ros.bags.writer import LABEL_INFO
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import PASCAL_CLASSES, TASKS

DEPTH, DEPTH_INFO = '/camera/depth/image_raw', '/camera/depth/camera_info'
NO_NAMES = 'class ids of semseg are taken as those of the model'
FOCAL, MIDDLE = 60.0, ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)


def labels(path, task, **options):
    """Return the label of each frame by number, None where there is none."""
    recording, notes = open_recording(path, (task,), **options)
    return [frame.labels.get(task) for frame in recording.frames()], counts(notes)


def slope(height=HEIGHT, width=WIDTH):
    """Return the depth of a floor that rises to the right, its normal, and the camera matrix."""
    scale = width / WIDTH
    matrix = np.array([[FOCAL * scale, 0, MIDDLE[0] * scale], [0, FOCAL * scale, MIDDLE[1] * scale],
                       [0, 0, 1]])  # fmt: skip
    normal = np.array([-0.6, 0, -0.8])
    x = (np.arange(width) - matrix[0, 2]) / matrix[0, 0]
    depth = np.broadcast_to(-2.0 / (normal[0] * x + normal[2]), (height, width))
    return depth.astype(np.float32), normal, matrix


def angles(found, normal):
    return np.degrees(np.arccos(np.clip((found * normal).sum(-1), -1, 1)))


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('later', [-3 * PERIOD, -1, 0, 1, 7 * PERIOD])
def test_truth_belongs_to_the_image_with_the_same_stamp_whenever_recorded(tmp_path, storage, later):
    true = [
        (stamp(n) + later, truth('semseg'), image(stamp(n), plain(n + 1))) for n in (4, 0, 3, 1)
    ]
    entries = sorted(frames(range(5)) + true, key=lambda entry: entry[0])
    found, notes = labels(write(tmp_path / 'bag', entries, storage), 'semseg')
    assert [None if one is None else one.flat[0] for one in found] == [1, 2, None, 4, 5]
    assert all((one == one.flat[0]).all() for one in found if one is not None)
    assert notes == {NO_NAMES: 1, 'no ground truth of semseg': 1}


def test_a_stamp_that_is_a_nanosecond_off_is_another_one(tmp_path):
    true = [(stamp(n), truth('semseg'), image(stamp(n) + n, plain(3))) for n in range(3)]
    found, notes = labels(write(tmp_path / 'bag', frames(range(3)) + true), 'semseg')
    assert [one is not None for one in found] == [True, False, False]
    assert notes['no ground truth of semseg'] == 2


def test_truth_of_another_size_is_stretched_and_noted(tmp_path):
    small = np.uint8([[1, 2], [3, 255]])
    true = [
        (stamp(0), truth('semseg'), image(stamp(0), small)),
        (stamp(1), truth('semseg'), image(stamp(1), plain(4))),
    ]
    found, notes = labels(write(tmp_path / 'bag', frames(range(2)) + true), 'semseg')
    assert (found[0] == np.kron(small, np.ones((HEIGHT // 2, WIDTH // 2)))).all()
    assert notes['ground truth of semseg has another size than the image'] == 1


def test_a_named_topic_goes_before_the_usual_one(tmp_path):
    true = [(stamp(0), topic, image(stamp(0), plain(value)))
            for topic, value in ((truth('semseg'), 1), ('/mine', 2))]  # fmt: skip
    path = write(tmp_path / 'bag', frames([0]) + true)
    assert labels(path, 'semseg')[0][0].flat[0] == 1
    assert labels(path, 'semseg', truth={'semseg': '/mine'})[0][0].flat[0] == 2
    with pytest.raises(DataError, match=r'no images on /nowhere for semseg; it holds: .*/mine'):
        open_recording(path, truth={'semseg': '/nowhere'})


def test_labels_are_not_the_camera(tmp_path):
    """Also where there are more of them, and they are recorded first."""
    true = [(stamp(n), truth('semseg'), image(stamp(n), plain(3))) for n in range(4)]
    path = write(tmp_path / 'bag', [*true, (stamp(1), '/grey', image(stamp(1), plain(9)))])
    recording, _ = open_recording(path)
    assert (recording.camera, recording.expected) == ('/grey', 1)
    with pytest.raises(BagError, match='no camera images besides the ground truth'):
        open_recording(write(tmp_path / 'none', true))


def test_truth_of_tasks_that_do_not_run_is_left_alone(tmp_path):
    true = [(stamp(0), truth(task), image(stamp(0), plain(1))) for task in ('semseg', 'edges')]
    recording, notes = open_recording(write(tmp_path / 'bag', frames([0]) + true), ('edges',))
    assert list(recording.truth.sources) == ['edges']
    assert recording.truth.sources['edges'].origin == truth('edges')
    assert recording.truth.stamps('edges') == {stamp(0)}
    assert not list(notes)


def test_one_bad_truth_does_not_spoil_the_others(tmp_path):
    strange = {
        1: (RAW, b'\0\1\0\0\1'),
        2: image(stamp(2), plain(200)),
        3: image(stamp(3), plain(1, np.float32)),
        4: (RAW, b''),
    }
    true = [
        (stamp(n), truth('semseg'), strange.get(n, image(stamp(n), plain(n)))) for n in range(7)
    ]
    found, notes = labels(write(tmp_path / 'bag', frames(range(7)) + true), 'semseg')
    assert [n for n, one in enumerate(found) if one is not None] == [0, 5, 6]
    assert all((found[n] == n).all() for n in (0, 5, 6))
    assert notes['ground truth of semseg cannot be used'] == 2
    assert notes['no ground truth of semseg'] == 2
    assert 'ground truth is damaged' in notes


@pytest.mark.parametrize('storage', STORAGES)
def test_names_in_the_bag_translate_its_ids(tmp_path, storage):
    names = ('sky', PASCAL_CLASSES[15], 'road', PASCAL_CLASSES[7])
    picture = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8) % 4
    picture[0] = 255
    entries = [
        (stamp(0), truth('semseg'), image(stamp(0), picture)),
        (stamp(0), '/ground_truth/semseg/label_info', label_info(*names)),
    ]
    found, notes = labels(write(tmp_path / 'bag', frames([0]) + entries, storage), 'semseg')
    expected = np.array([255, 15, 255, 7], np.uint8)[picture % 4]
    expected[0] = 255
    np.testing.assert_array_equal(found[0], expected)
    assert notes == {'classes of semseg that the model does not know are not looked at': 1}


def test_the_callers_class_map_goes_before_the_names_in_the_bag(tmp_path):
    entries = [
        (stamp(0), truth('semseg'), image(stamp(0), np.uint8([[0, 1], [2, 60]]))),
        (stamp(0), '/ground_truth/semseg/label_info', label_info('person', 'car')),
    ]
    path = write(tmp_path / 'bag', frames([0]) + entries)
    classes = ClassMap({'semseg': {0: 'cat', 1: 'ignore', 60: 'dog'}})
    found, notes = labels(path, 'semseg', classes=classes)
    corners = found[0][[0, 0, -1, -1], [0, -1, 0, -1]]
    cat, dog = PASCAL_CLASSES.index('cat'), PASCAL_CLASSES.index('dog')
    assert corners.tolist() == [cat, 255, 255, dog]
    assert set(notes) == {
        'ground truth of semseg has another size than the image',
        'semseg has id 2, which nothing says the class of; it is not looked at',
    }
    with pytest.raises(ValueError, match=r"semseg 0 is 'kat', .* choose from: background, "):
        open_recording(path, classes=ClassMap({'semseg': {0: 'kat'}}))


def test_ids_without_a_class_are_told_frame_by_frame(tmp_path):
    """Those that are ignored on purpose, and pixels without label, are no such ids."""
    pictures = [plain(0), plain(1), plain(255), plain(0)]
    pictures[0][0, :5], pictures[3][0, :2], pictures[3][1, :7] = 9, 9, 4
    true = [(stamp(n), truth('semseg'), image(stamp(n), one)) for n, one in enumerate(pictures)]
    path = write(tmp_path / 'bag', frames(range(4)) + true)
    classes = ClassMap({'semseg': {0: 'cat', 1: 'ignore'}})
    recording, notes = open_recording(path, classes=classes)
    found = [frame.labels['semseg'] for frame in recording.frames()]
    assert [(one == 255).sum() for one in found] == [5, HEIGHT * WIDTH, HEIGHT * WIDTH, 9]
    what = 'semseg has id {}, which nothing says the class of; it is not looked at'
    example = "{} pixels, {} at {} ns; --classes FILE says what it is, or 'ignore'"
    assert notes.to_list() == [
        {'what': what.format(9), 'count': 2,
         'example': example.format(5, truth('semseg'), stamp(0))},
        {'what': what.format(4), 'count': 1,
         'example': example.format(7, truth('semseg'), stamp(3))},
    ]  # fmt: skip


def test_ids_beyond_the_names_in_the_bag_are_told(tmp_path):
    entries = [
        (stamp(0), truth('semseg'), image(stamp(0), plain(2))),
        (stamp(0), '/ground_truth/semseg/label_info', label_info('cat', 'dog')),
    ]
    found, notes = labels(write(tmp_path / 'bag', frames([0]) + entries), 'semseg')
    assert (found[0] == 255).all()
    assert notes == {'semseg has id 2, which nothing says the class of; it is not looked at': 1}


def test_names_that_cannot_be_read_are_as_good_as_none(tmp_path):
    entries = [
        (stamp(0), truth('semseg'), image(stamp(0), plain(5))),
        (stamp(0), '/ground_truth/semseg/label_info', (LABEL_INFO, b'\0\1\0\0\1')),
    ]
    found, notes = labels(write(tmp_path / 'bag', frames([0]) + entries), 'semseg')
    assert (found[0] == 5).all()
    assert notes == {NO_NAMES: 1}


@pytest.mark.parametrize('kind', ['16UC1', '32FC1', 'png'])
def test_a_depth_camera_beside_the_color(tmp_path, kind):
    meters = plain(1.25, np.float32)
    meters[:4] = 0
    millimeters = (1000 * meters).astype(np.uint16)
    message = {
        '16UC1': image(stamp(0), millimeters),
        '32FC1': image(stamp(0), meters),
        'png': compressed(stamp(0), millimeters, kind='16UC1; png compressed'),
    }[kind]
    path = write(tmp_path / 'bag', [*frames([0]), (stamp(0), DEPTH, message)])
    found, notes = labels(path, 'depth')
    assert found[0].dtype == np.float32
    assert np.isnan(found[0][:4]).all()
    assert (found[0][4:] == 1.25).all()
    assert notes == {}
    recording, _ = open_recording(path, ('depth',))
    assert recording.truth.sources['depth'].origin == f'{DEPTH} (depth camera)'


TOO_FAR = f'depth beyond {{}} m on {DEPTH} is taken as unknown'
NO_DISTANCE = f'65535 on {DEPTH} is no distance; these pixels are unknown'


@pytest.mark.parametrize('kind', ['16UC1', 'png'])
def test_the_largest_value_of_16_bits_is_no_distance(tmp_path, kind):
    """Kinect and OpenNI write it where they measure nothing; it would count as 65.5 m."""
    wall = plain(1500, np.uint16)
    wall[:4], wall[0, 0] = 65535, 65534
    holes = plain(1500, np.uint16)
    entries = [
        (stamp(n), DEPTH, image(stamp(n), one) if kind == '16UC1' else
         compressed(stamp(n), one, kind='16UC1; png compressed'))
        for n, one in enumerate((wall, wall, holes))
    ]  # fmt: skip
    path = write(tmp_path / 'bag', frames(range(3)) + entries)
    found, notes = labels(path, 'depth', max_depth=100.0)
    assert found[0][0, 0] == np.float32(65.534)
    assert np.isnan(found[0][:4]).sum() == 4 * WIDTH - 1
    assert (found[0][4:] == 1.5).all()
    assert (found[2] == 1.5).all()
    assert notes == {NO_DISTANCE: 2}


@pytest.mark.parametrize('topic', [DEPTH, truth('depth')])
def test_depth_beyond_what_the_sensor_sees_is_unknown(tmp_path, topic):
    """A depth camera as well as a named topic; counted by image, with an example."""
    wall = plain(2, np.float32)
    wall[0, :3] = 20, 20.001, 80
    entries = [(stamp(n), topic, image(stamp(n), wall if n else wall[5:])) for n in range(3)]
    path = write(tmp_path / 'bag', frames(range(3)) + entries)
    recording, notes = open_recording(path, ('depth',))
    found = [frame.labels['depth'] for frame in recording.frames()]
    np.testing.assert_array_equal(found[1][0, :4], np.float32([20, np.nan, np.nan, 2]))
    entry = next(one for one in notes.to_list() if 'beyond' in one['what'])
    assert entry['what'] == TOO_FAR.format(20).replace(DEPTH, topic)
    assert entry['count'] == 2
    assert entry['example'].startswith(f'2 of {HEIGHT * WIDTH} pixels at {stamp(1)} ns, up to 80 m')
    assert '--max-depth METERS' in entry['example']
    recording, notes = open_recording(path, ('depth',), max_depth=80.0)
    assert next(f for f in recording.frames() if f.index == 1).labels['depth'][0, 2] == 80
    assert not any('beyond' in one for one in notes)


@pytest.mark.parametrize('wrong', [65535, 45000])
def test_normals_do_not_lean_on_depth_that_is_not_believed(tmp_path, wrong):
    """Not even where it is a surface of its own, which has a normal like any other."""
    depth = plain(2000, np.uint16)
    depth[:, :40] = wrong
    info = camera_info(FOCAL, MIDDLE, (HEIGHT, WIDTH))
    entries = [(stamp(0), DEPTH, image(stamp(0), depth)), (stamp(0), DEPTH_INFO, info)]
    recording, notes = open_recording(
        write(tmp_path / 'bag', frames([0]) + entries), ('normals', 'depth')
    )
    (frame,) = recording.frames()
    assert np.isnan(frame.labels['normals'][:, :46]).all()
    assert np.isfinite(frame.labels['normals'][10:-10, 46:-6]).all()
    # Both tasks are of the same image, which is counted once.
    assert counts(notes) == {NO_DISTANCE if wrong == 65535 else TOO_FAR.format(20): 1}


@pytest.mark.parametrize('meters', [0.0, -1.0, np.nan, np.inf])
def test_a_greatest_depth_is_a_number_of_meters(tmp_path, meters):
    path = write(tmp_path / 'bag', frames([0]))
    with pytest.raises(ValueError, match=f'must be a number of meters above 0, got {meters}'):
        open_recording(path, max_depth=meters)


def test_a_depth_camera_that_looks_from_elsewhere_is_not_used_unless_named(tmp_path):
    kind, message = image(stamp(0), plain(1.25, np.float32))
    message.header.frame_id = 'depth_optical_frame'
    path = write(tmp_path / 'bag', [*frames([0]), (stamp(0), DEPTH, (kind, message))])
    recording, notes = open_recording(path, ('depth',))
    assert recording.truth.sources == {}
    assert 'depth camera is not used' in next(iter(notes))
    assert f'--truth depth={DEPTH}' in next(iter(notes))
    recording, _ = open_recording(path, ('depth',), truth={'depth': DEPTH})
    assert recording.truth.sources['depth'].topic == DEPTH


def test_the_nearest_depth_camera_is_taken(tmp_path):
    places = {'/rear/depth': 9, '/camera/depth': 2, '/zoom/depth': 9}
    deep = [
        (stamp(0), topic, image(stamp(0), plain(meters, np.float32)))
        for topic, meters in places.items()
    ]
    found, _ = labels(write(tmp_path / 'bag', frames([0]) + deep), 'depth')
    assert (found[0] == 2).all()


def test_a_topic_of_depth_goes_before_the_depth_camera(tmp_path):
    depth, _, _ = slope()
    entries = [
        (stamp(0), DEPTH, image(stamp(0), depth)),
        (stamp(0), DEPTH_INFO, camera_info(FOCAL, MIDDLE, (HEIGHT, WIDTH))),
        (stamp(0), truth('depth'), image(stamp(0), plain(7, np.float32))),
    ]
    recording, _ = open_recording(
        write(tmp_path / 'bag', frames([0]) + entries), ('normals', 'depth')
    )
    (frame,) = recording.frames()
    assert (frame.labels['depth'] == 7).all()
    assert np.isfinite(frame.labels['normals']).any()
    assert [s.topic for s in recording.truth.sources.values()] == [DEPTH, truth('depth')]


@pytest.mark.parametrize('binning', [1, 2])
def test_normals_of_what_a_calibrated_depth_camera_shows(tmp_path, binning):
    """The calibration may be for another size than the images."""
    depth, normal, _ = slope()
    size = (HEIGHT * binning, WIDTH * binning)
    info = camera_info(FOCAL * binning, (MIDDLE[0] * binning, MIDDLE[1] * binning), size)
    entries = [(stamp(0), DEPTH, image(stamp(0), depth)), (stamp(0), DEPTH_INFO, info)]
    found, notes = labels(write(tmp_path / 'bag', frames([0]) + entries), 'normals')
    known = np.isfinite(found[0]).all(-1)
    assert known[10:-10, 10:-10].all()
    assert angles(found[0][known], normal).max() < 0.1
    assert notes == {}


def test_normals_equal_those_of_the_depth_image(tmp_path):
    depth, _, matrix = slope()
    info = camera_info(FOCAL, MIDDLE, (HEIGHT, WIDTH))
    entries = [(stamp(0), DEPTH, image(stamp(0), depth)), (stamp(0), DEPTH_INFO, info)]
    found, _ = labels(write(tmp_path / 'bag', frames([0]) + entries), 'normals')
    np.testing.assert_array_equal(found[0], normals_from_depth(depth, matrix))


@pytest.mark.parametrize(
    'info',
    [camera_info(0.0, (0.0, 0.0), (HEIGHT, WIDTH)), camera_info(FOCAL, MIDDLE, (0, 0)),
     (CAMERA_INFO, b'\0\1\0\0\1'), (CAMERA_INFO, None)],
    ids=['no focal length', 'no size', 'damaged', 'no message'],
)  # fmt: skip
def test_no_normals_without_a_calibration(tmp_path, info):
    depth, _, _ = slope()
    entries = [(stamp(0), DEPTH, image(stamp(0), depth)), (stamp(0), DEPTH_INFO, info)]
    path = write(tmp_path / 'bag', frames([0]) + entries)
    recording, notes = open_recording(path, ('normals', 'depth'))
    (frame,) = recording.frames()
    np.testing.assert_array_equal(frame.labels['depth'], depth)
    assert 'normals' not in frame.labels
    assert list(recording.truth.sources) == ['depth']
    why = f'no camera_info beside {DEPTH} has a matrix'
    others = [note for note in notes if not note.startswith('calibration cannot be read')]
    assert others == [f'no normals from the depth camera: {why}']


def test_a_calibration_that_comes_late_is_found(tmp_path):
    depth, normal, _ = slope()
    entries = [
        (stamp(0), DEPTH, image(stamp(0), depth)),
        (stamp(0), DEPTH_INFO, camera_info(0.0, (0.0, 0.0), (HEIGHT, WIDTH))),
        (stamp(9), DEPTH_INFO, camera_info(FOCAL, MIDDLE, (HEIGHT, WIDTH))),
    ]
    found, _ = labels(write(tmp_path / 'bag', frames([0]) + entries), 'normals')
    assert np.nanmax(angles(found[0], normal)) < 0.1


def test_a_depth_camera_whose_first_image_is_damaged_spoils_nothing(tmp_path):
    entries = [
        (stamp(0) - 1, DEPTH, (RAW, b'\0\1\0\0\1')),
        *((stamp(n), DEPTH, image(stamp(n), plain(3, np.float32))) for n in range(2)),
    ]
    found, notes = labels(write(tmp_path / 'bag', frames(range(2)) + entries), 'depth')
    assert [one.flat[0] for one in found] == [3, 3]
    assert notes == {'ground truth is damaged': 1}


def test_sources_are_in_the_order_of_the_table(tmp_path):
    true = []
    for task in reversed(TASKS):
        one = plain(1, np.float32 if task in ('depth', 'normals') else np.uint8)
        one = np.dstack([one] * 3) / np.sqrt(np.float32(3)) if task == 'normals' else one
        true.append((stamp(0), truth(task), image(stamp(0), one)))
    recording, _ = open_recording(write(tmp_path / 'bag', frames([0]) + true), tuple(TASKS))
    assert list(recording.truth.sources) == list(TASKS)
    (frame,) = recording.frames()
    assert list(frame.labels) == list(TASKS)


@pytest.mark.parametrize('storage', STORAGES)
def test_truths_that_were_recorded_at_one_moment_are_told_apart(tmp_path, storage):
    true = [(stamp(0), truth('semseg'), image(stamp(n), plain(n + 1))) for n in range(3)]
    found, _ = labels(write(tmp_path / 'bag', frames(range(3)) + true, storage), 'semseg')
    assert [one.flat[0] for one in found] == [1, 2, 3]
