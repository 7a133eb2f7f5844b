# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading of recordings, damaged ones included."""

import dataclasses
import shutil
import sqlite3

import numpy as np
import pytest
from helpers.bag_files import (
    CAMERA,
    PERIOD,
    STORAGES,
    camera_info,
    compressed,
    counts,
    frames,
    header,
    image,
    label_info,
    open_recording,
    picture,
    plain,
    stamp,
    storage_file,
    truth,
    write,
)
from rosbags.rosbag2 import CompressionMode

from adamtl_ros.bags.reader import CAMERA_INFO, COMPRESSED, RAW, BagError

MCAP, SQLITE3 = STORAGES
UNREADABLE = 'image cannot be read'
BACK = 'header stamp not after the one before'
SIZES = 'frame size changes'
PAGE = 4096  # of SQLite3


def read(path, **options):
    """Return the frames of a recording, and what was noted, by kind."""
    recording, notes = open_recording(path, **options)
    return list(recording.frames()), counts(notes)


def camera(entries):
    """Return entries for `write()`, one for each (stamp, image or message)."""
    made = []
    for number, (nanoseconds, one) in enumerate(entries):
        message = image(nanoseconds, one) if isinstance(one, np.ndarray) else one
        made.append((stamp(number), CAMERA, message))
    return made


@pytest.mark.parametrize(
    ('storage', 'mode'),
    [
        *((MCAP, mode) for mode in CompressionMode),
        *((SQLITE3, mode) for mode in CompressionMode if mode is not CompressionMode.STORAGE),
    ],
)
def test_frames_are_what_was_recorded(tmp_path, storage, mode):
    true = [(stamp(n), truth('semseg'), image(stamp(n), plain(n))) for n in range(3)]
    path = write(tmp_path / 'bag', frames(range(3)) + true, storage, mode)
    recording, notes = open_recording(path)
    assert (recording.camera, recording.expected) == (CAMERA, 3)
    found = list(recording.frames())
    for number, frame in enumerate(found):
        assert (frame.index, frame.stamp) == (number, stamp(number))
        assert (frame.recorded, frame.frame_id) == (
            stamp(number) + 5_000_000,
            'camera_optical_frame',
        )
        np.testing.assert_array_equal(frame.image, picture(number))
        assert (frame.labels['semseg'] == number).all()
        assert frame.decode_ms > 0
    assert [frame.stamp for frame in recording.frames()] == [frame.stamp for frame in found]
    assert set(counts(notes)) == {'class ids of semseg are taken as those of the model'}


@pytest.mark.parametrize('storage', STORAGES)
def test_a_file_without_its_folder(tmp_path, storage):
    path = write(tmp_path / 'bag', frames(range(2)), storage)
    alone = storage_file(path)
    shutil.copy(alone, tmp_path)
    found, notes = read(tmp_path / alone.name)
    assert [frame.stamp for frame in found] == [stamp(0), stamp(1)]
    assert notes == {}


def test_mcap_needs_no_metadata(tmp_path):
    path = write(tmp_path / 'bag', frames(range(2)))
    (path / 'metadata.yaml').unlink()
    assert [frame.stamp for frame in read(path)[0]] == [stamp(0), stamp(1)]


@pytest.mark.parametrize('names', ['ab', 'ba'])
def test_a_recording_in_two_files(tmp_path, names):
    """Also if the later part has the earlier name; ground truth may lie in the other part."""
    whole = tmp_path / 'whole'
    whole.mkdir()
    for part, name in enumerate(names):
        numbers = range(3 * part, 3 * part + 3)
        other = range(3 - 3 * part, 6 - 3 * part)
        true = [(stamp(n), truth('semseg'), image(stamp(n), plain(n))) for n in other]
        path = write(tmp_path / f'part_{name}', frames(numbers) + true)
        shutil.copy(storage_file(path), whole / f'{name}.mcap')
    recording, notes = open_recording(whole)
    found = list(recording.frames())
    assert recording.expected == 6
    assert [frame.stamp for frame in found] == [stamp(n) for n in range(6)]
    assert [frame.index for frame in found] == list(range(6))
    assert [frame.labels['semseg'].flat[0] for frame in found] == list(range(6))
    assert BACK not in counts(notes)


def test_unknown_message_types_are_ignored(tmp_path):
    """Here vision_msgs/LabelInfo, in an old bag that does not define its types."""
    odd = [(stamp(0), '/odd', label_info('a'))]
    assert len(read(write(tmp_path / 'new', frames(range(2)) + odd))[0]) == 2
    path = write(tmp_path / 'old', frames(range(2)) + odd, SQLITE3)
    with sqlite3.connect(storage_file(path)) as database:
        database.execute('DELETE FROM message_definitions')
    database.close()
    found, notes = read(path)
    assert len(found) == 2
    assert notes == {}


def test_compressed_images(tmp_path):
    entries = [(stamp(n), CAMERA, compressed(stamp(n), picture(n))) for n in range(2)]
    found, notes = read(write(tmp_path / 'bag', entries))
    for number, frame in enumerate(found):
        np.testing.assert_array_equal(frame.image, picture(number))
    assert notes == {}


def test_a_named_camera(tmp_path):
    entries = frames(range(5)) + frames(range(2), '/left/image_raw')
    path = write(tmp_path / 'bag', entries)
    assert len(read(path)[0]) == 5
    assert len(read(path, camera='/left/image_raw')[0]) == 2
    with pytest.raises(BagError, match=r'no images on /right; it holds: .*/left/image_raw'):
        open_recording(path, camera='/right')


@pytest.mark.parametrize('storage', STORAGES)
def test_unreadable_images_are_skipped(tmp_path, storage):
    good = [compressed(stamp(n), picture(n)) for n in range(6)]
    good[0][1].data = good[0][1].data[:0]
    good[2][1].data = np.arange(100, dtype=np.uint8)
    good[4] = COMPRESSED, b'\0\1\0\0\1'
    path = write(tmp_path / 'bag', camera((0, one) for one in good), storage)
    recording, notes = open_recording(path)
    found = list(recording.frames())
    assert [frame.index for frame in found] == [1, 3, 5]
    assert [frame.stamp for frame in found] == [stamp(n) for n in (1, 3, 5)]
    assert counts(notes) == {UNREADABLE: 3}
    assert recording.expected == 6
    assert f'image 0 on {CAMERA}: ImageError: 0 bytes' in next(iter(notes))


def test_unreadable_raw_images_are_skipped(tmp_path):
    good = [image(stamp(n), picture(n)) for n in range(5)]
    good[1][1].data = good[1][1].data[:-1]
    good[2][1].encoding = 'nonsense'
    good[3] = RAW, b''
    found, notes = read(write(tmp_path / 'bag', camera((0, one) for one in good)))
    assert [frame.index for frame in found] == [0, 4]
    assert notes == {UNREADABLE: 3}


def test_a_recording_without_readable_image_has_no_camera(tmp_path):
    entries = [(stamp(n), CAMERA, (RAW, b'\0\1\0\0\1')) for n in range(3)]
    with pytest.raises(BagError, match=f'bag: no camera images; it holds: {CAMERA}'):
        open_recording(write(tmp_path / 'bag', entries))


def test_stamps_that_go_back_or_stand_still(tmp_path):
    order = [0, 1, 1, 1, 2, 0, 1, 5]
    path = write(tmp_path / 'bag', camera((stamp(n), picture(n)) for n in order))
    found, notes = read(path)
    assert [frame.stamp for frame in found] == [stamp(n) for n in order]
    assert notes == {BACK: 3}


def test_frames_of_changing_size(tmp_path):
    sizes = [(48, 64), (48, 64), (24, 32), (24, 32), (48, 64), (64, 48)]
    entries = camera((stamp(n), picture(n, *size)) for n, size in enumerate(sizes))
    true = [(stamp(n), truth('semseg'), image(stamp(n), plain(n, height=size[0], width=size[1])))
            for n, size in enumerate(sizes)]  # fmt: skip
    found, notes = read(write(tmp_path / 'bag', entries + true))
    assert [frame.image.shape[:2] for frame in found] == sizes
    assert [frame.labels['semseg'].shape for frame in found] == sizes
    assert notes[SIZES] == 3
    assert 'ground truth of semseg has another size than the image' not in notes


def test_a_camera_without_messages(tmp_path):
    with pytest.raises(BagError, match=rf'bag: no camera images; it holds: {CAMERA} \(sensor_msgs'):
        open_recording(write(tmp_path / 'bag', [(0, CAMERA, (RAW, None))]))
    entries = [(0, CAMERA, (RAW, None)), *frames(range(2), '/other')]
    assert open_recording(write(tmp_path / 'two', entries))[0].camera == '/other'


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('share', [0.0, 0.001, 0.3, 0.7])
def test_a_file_that_was_cut_off(tmp_path, storage, share):
    path = write(tmp_path / 'bag', frames(range(4)), storage)
    file = storage_file(path)
    whole = file.read_bytes()
    file.write_bytes(whole[: round(share * len(whole))])
    with pytest.raises(BagError, match=rf"{path} is not a .* 'mcap recover' .* 'ros2 bag reindex'"):
        open_recording(path)


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('damage', ['cut off', 'changed'])
def test_a_damaged_file_that_is_compressed_as_a_whole(tmp_path, storage, damage):
    path = write(tmp_path / 'bag', frames(range(4)), storage, CompressionMode.FILE)
    file = storage_file(path)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    file.write_bytes(
        data[:middle] + (bytes(64) + data[middle + 64 :] if damage == 'changed' else b'')
    )
    with pytest.raises(BagError, match=rf'{path} is not a ROS 2 bag that can be read: \w+Error: '):
        open_recording(path)


def test_a_jpeg_that_was_cut_off_is_not_scored(tmp_path):
    """OpenCV would fill it up with grey."""
    kind, message = compressed(stamp(1), picture(1), '.jpg', 'rgb8; jpeg compressed bgr8')
    whole = message.data
    padded = np.concatenate([whole, np.zeros(5, np.uint8)])
    images = []
    for number, data in enumerate((whole, whole[:-40], padded)):
        copy = dataclasses.replace(message, header=header(stamp(number)), data=data)
        images.append((stamp(number), f'{CAMERA}/compressed', (kind, copy)))
    recording, notes = open_recording(write(tmp_path / 'bag', images))
    assert [frame.index for frame in recording.frames()] == [0, 2]
    assert counts(notes)[UNREADABLE] == 1
    assert 'JPEG are cut off' in next(iter(notes))


@pytest.mark.parametrize('text', ['', 'a: [', 'a: 1', '\udcff'])
def test_metadata_that_cannot_be_read(tmp_path, text):
    path = write(tmp_path / 'bag', frames(range(2)))
    (path / 'metadata.yaml').write_bytes(text.encode(errors='surrogateescape'))
    with pytest.raises(BagError, match=f'{path} is not a ROS 2 bag that can be read'):
        open_recording(path)


def test_what_is_no_bag_is_named(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(BagError, match=r'empty is no bag: it holds no .mcap or .db3 file'):
        open_recording(tmp_path / 'empty')
    (tmp_path / 'notes.txt').write_text('no bag')
    with pytest.raises(BagError, match=r"notes.txt is not a ROS 2 bag.*'ros2 bag reindex'"):
        open_recording(tmp_path / 'notes.txt')
    with pytest.raises(BagError, match='nowhere: no such file or folder'):
        open_recording(tmp_path / 'nowhere')


def test_what_lies_before_the_damage_in_sqlite3_is_read(tmp_path):
    """An image lies on several pages, each of which says where the next one is."""
    path = write(tmp_path / 'bag', frames(range(12)), SQLITE3)
    file = storage_file(path)
    data = bytearray(file.read_bytes())
    begin = data.index(picture(8).tobytes()[2000:2100]) // PAGE * PAGE
    data[begin : begin + PAGE] = bytes(PAGE)
    file.write_bytes(data)
    recording, notes = open_recording(path)
    found = list(recording.frames())
    assert [frame.stamp for frame in found] == [stamp(n) for n in range(8)]
    for number, frame in enumerate(found):
        np.testing.assert_array_equal(frame.image, picture(number))
    assert counts(notes) == {'bag is damaged': 1, 'images lost in a damaged bag': 1}
    assert any(f'8 of 12 on {CAMERA}' in note for note in notes)


@pytest.mark.parametrize('storage', STORAGES)
def test_damage_anywhere_is_logged_or_harmless(tmp_path, storage):
    """Zeros wherever in the file: no other error than `BagError`, and nothing is lost silently."""
    true = [(stamp(n), truth('semseg'), image(stamp(n), plain(3))) for n in range(4)]
    path = write(tmp_path / 'bag', frames(range(4)) + true, storage)
    file = storage_file(path)
    whole = file.read_bytes()
    outcomes = set()
    for begin in range(0, len(whole), len(whole) // 24):
        file.write_bytes(
            whole[:begin] + bytes(len(whole[begin : begin + 700])) + whole[begin + 700 :]
        )
        try:
            recording, notes = open_recording(path)
            found = list(recording.frames())
        except BagError:
            outcomes.add('refused')
            continue
        missing = 4 - len(found)
        told = counts(notes)
        assert not missing or 'images lost in a damaged bag' in told or told[UNREADABLE] == missing
        unlabelled = sum('semseg' not in frame.labels for frame in found)
        assert (
            not unlabelled
            or told['no ground truth of semseg']
            + told.get('ground truth of semseg cannot be used', 0)
            == unlabelled
        )
        outcomes.add('read')
    assert outcomes == {'refused', 'read'}


def test_reading_can_stop_early(tmp_path):
    recording, notes = open_recording(write(tmp_path / 'bag', frames(range(5))))
    some = recording.frames()
    assert next(some).index == 0
    some.close()
    assert len(list(recording.frames())) == 5
    assert not list(notes)


def test_the_order_is_that_of_recording(tmp_path):
    """Whatever the header stamps say."""
    entries = [(stamp(n), CAMERA, image(stamp(5 - n), picture(n))) for n in (3, 0, 2, 1)]
    found, notes = read(write(tmp_path / 'bag', entries))
    assert [frame.recorded for frame in found] == [stamp(n) for n in range(4)]
    assert notes == {BACK: 3}
    assert found[1].recorded - found[0].recorded == PERIOD


INFO = '/camera/camera_info'


def calibration(focal, size=(48, 64)):
    return camera_info(focal, (31.5, 23.5), size)


def test_the_calibration_is_followed(tmp_path):
    """As in the node: the latest one counts; the first one also for images before it."""
    infos = [
        (stamp(2) + 1, INFO, calibration(50.0)),
        (stamp(3) + 1, INFO, calibration(0.0)),
        (stamp(4) + 1, INFO, (CAMERA_INFO, b'\0\1\0\0damaged')),
        (stamp(5) + 1, INFO, calibration(100.0, (96, 128))),
        (stamp(6) + 1, INFO, calibration(25.0)),
    ]
    other = [(stamp(0), '/other/camera_info', calibration(77.0))]
    entries = sorted(frames(range(8)) + infos + other, key=lambda entry: entry[0])
    found, notes = read(write(tmp_path / 'bag', entries))
    area = (48 * 64) ** 0.5
    expected = [50, 50, 50, np.nan, np.nan, 50, 25, 25]  # recorded 5 ms after their stamps
    np.testing.assert_allclose([frame.focal * area for frame in found], expected)
    assert [frame.index for frame in found] == list(range(8))
    assert notes == {'calibration cannot be read': 1}


def test_without_a_calibration_the_lens_is_unknown(tmp_path):
    found, notes = read(write(tmp_path / 'bag', frames(range(2))))
    assert np.isnan([frame.focal for frame in found]).all()
    assert notes == {}
