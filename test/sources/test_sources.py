# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sources of images: what an input is taken for, order, times, and inputs that are none."""

import http.server
import itertools
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from adamtl_ros.bags.reader import BagError
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.sources.calibration import (
    Calibration,
    CalibrationError,
    from_field_of_view,
    read_calibration,
)
from adamtl_ros.sources.find import open_source
from adamtl_ros.sources.frame import Frame, SourceError, in_real_time, repeated
from adamtl_ros.sources.pictures import Pictures
from adamtl_ros.sources.recording import Recording
from adamtl_ros.sources.video import Camera, Video
from adamtl_ros.viz.video_file import VideoFile

BAGS = Path('../shared/bags').resolve()


def flat(value, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


def write(path, image):
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def test_a_picture_is_rgb_and_turned_by_its_exif(tmp_path):
    image = flat(0)
    image[:, :32] = (255, 0, 0)
    write(tmp_path / 'a b ü.png', image)
    source = open_source(str(tmp_path / 'a b ü.png'))
    (frame,) = source.frames()
    assert (source.count, frame.name) == (1, 'a b ü.png')
    np.testing.assert_array_equal(frame.image, image)
    # An EXIF orientation of 6: to be turned by 90 degrees clockwise.
    jpeg = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    header = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
    (tmp_path / 'turned.jpg').write_bytes(jpeg[:2] + header + jpeg[2:])
    (frame,) = open_source(str(tmp_path / 'turned.jpg')).frames()
    assert frame.image.shape == (64, 48, 3)
    assert frame.image[5, 24, 0] > 200  # what was left is on top
    assert frame.image[-5, 24, 0] < 50


def test_a_folder_is_in_the_order_of_its_numbers(tmp_path):
    for name, value in (('im10.png', 10), ('im9.png', 9), ('IM2.JPG', 2)):
        write(tmp_path / name, flat(value))
    (tmp_path / 'notes.txt').write_text('no picture')
    (tmp_path / 'im3.png').write_bytes(b'damaged')
    source = open_source(str(tmp_path), rate_hz=4.0)
    frames = list(source.frames())
    assert [f.name for f in frames] == ['IM2.JPG', 'im9.png', 'im10.png']
    assert source.count == 4
    assert source.skipped == [f'{tmp_path / "im3.png"} is no picture that OpenCV reads']
    assert [f.stamp_ns // 1_000_000 for f in frames] == [0, 500, 750]  # IM2, (im3), im9, im10


def test_a_video_has_its_times(tmp_path):
    file = VideoFile(tmp_path / 'v.mp4')
    for index in range(10):
        file.add(flat(20 * index), 1_000_000_000 + 100_000_000 * index)
    file.close()
    source = open_source(str(tmp_path / 'v.mp4'))
    assert isinstance(source, Video)
    assert source.count == 10
    frames = list(source.frames())
    np.testing.assert_allclose([f.stamp_ns / 1e8 for f in frames], range(10), atol=0.02)
    np.testing.assert_allclose([f.image.mean() for f in frames], range(0, 200, 20), atol=4)


def test_a_bag_has_its_stamps_and_its_lens(tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=3)
    source = open_source(str(tmp_path / 'room'))
    assert isinstance(source, Recording)
    frames = list(source.frames())
    assert len(frames) == source.count == 3
    assert source.rate_hz == pytest.approx(15, rel=0.01)
    assert source.has_lens
    assert source.intrinsics(*frames[0].image.shape[:2]).focal > 0.3
    assert [b.stamp_ns - a.stamp_ns for a, b in itertools.pairwise(frames)] == pytest.approx(
        [1e9 / 15] * 2, rel=1e-3
    )
    (mcap,) = (tmp_path / 'room').glob('*.mcap')
    assert isinstance(open_source(str(mcap)), Recording)


@pytest.mark.skipif(not BAGS.is_dir(), reason='needs ../shared/bags')
def test_uncalibrated_camera_of_a_bag():
    source = open_source(str(BAGS / 'street_semseg'))
    assert not source.has_lens
    assert source.intrinsics(360, 480) is None


def test_a_network_stream_gives_its_newest_image():
    """Motion JPEG over HTTP, as simple network cameras send it."""
    images = [cv2.imencode('.jpg', flat(value))[1].tobytes() for value in range(0, 240, 8)]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=image')
            self.end_headers()
            for image in images:
                head = (
                    f'--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n'
                )
                self.wfile.write(head.encode() + image + b'\r\n')

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        source = open_source(f'http://127.0.0.1:{server.server_address[1]}/video.mjpg')
        assert isinstance(source, Camera)
        assert source.live
        frames = source.frames()
        first = next(frames).image
        assert first.shape == (48, 64, 3)
        with pytest.raises(SourceError, match='sends no more images'):
            list(frames)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('no/such.jpg', "'no/such.jpg': no such file or folder; give a picture, a folder"),
        ('97', 'camera 97 cannot be opened'),
        ('http://127.0.0.1:9/x', 'http://127.0.0.1:9/x cannot be opened'),
        ('empty', 'empty holds no pictures'),
        ('words.txt', 'words.txt is no video that OpenCV reads'),
        ('broken.png', 'broken.png is no picture that OpenCV reads'),
    ],
)
def test_inputs_that_are_none(tmp_path, monkeypatch, text, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'words.txt').write_text('words')
    (tmp_path / 'broken.png').write_bytes(b'\x89PNG broken')
    with pytest.raises(SourceError) as raised:
        list(open_source(text).frames())
    assert str(raised.value).startswith(problem)


def test_a_damaged_bag(tmp_path):
    (tmp_path / 'bad.mcap').write_bytes(b'\x89MCAP')
    with pytest.raises(BagError):
        open_source(str(tmp_path / 'bad.mcap'))


def test_passwords_are_not_shown():
    source = open_source('rtsp://me:secret@127.0.0.1:9/stream@1')
    assert source.name == 'rtsp://127.0.0.1:9/stream@1'
    with pytest.raises(SourceError) as raised:
        list(source.frames())
    assert 'secret' not in str(raised.value)


def frames_at(*milliseconds):
    return [Frame(flat(0, 1, 1), ms * 1_000_000) for ms in milliseconds]


class Clock:
    """Clock that waiting and working advance."""

    now_s = 100.0

    def wait(self, seconds):
        """Advance."""
        self.now_s += seconds


def test_real_time_leaves_out_what_is_late():
    clock, shown = Clock(), []
    for frame in in_real_time(
        frames_at(0, 100, 200, 300, 400, 500), clock.wait, lambda: clock.now_s
    ):
        shown.append((frame.stamp_ns // 1_000_000, round(1000 * (clock.now_s - 100))))
        clock.now_s += 0.25  # of work
    # 100 would be 150 ms late, 200 is 50 ms late, which is less than a period.
    assert shown == [(0, 0), (200, 250), (400, 500)]


def test_real_time_goes_on_after_a_pause():
    clock, shown = Clock(), []
    for frame in in_real_time(frames_at(0, 100, 200, 300), clock.wait, lambda: clock.now_s):
        shown.append(frame.stamp_ns // 1_000_000)
        clock.now_s += 60.0 if len(shown) == 1 else 0.0
    assert shown == [0, 100, 200, 300]


def test_repeated_stamps_rise(tmp_path):
    for index in range(2):
        write(tmp_path / f'{index}.png', flat(index))
    frames = itertools.islice(repeated(open_source(str(tmp_path), rate_hz=10.0)), 5)
    assert [f.stamp_ns // 1_000_000 for f in frames] == [0, 100, 200, 300, 400]


def test_field_of_view_by_hand():
    lens = from_field_of_view(90.0, 480, 640)
    assert lens.k == pytest.approx((320, 0, 320, 0, 320, 240, 0, 0, 1))
    half = lens.resized(240, 320)
    assert half.k == pytest.approx((160, 0, 160, 0, 160, 120, 0, 0, 1))
    assert half.focal == pytest.approx(lens.focal)
    with pytest.raises(CalibrationError, match='which is another shape'):
        lens.resized(480, 480)
    for degrees in (-1.0, 180.0, float('nan')):
        with pytest.raises(CalibrationError, match='field of view must be'):
            from_field_of_view(degrees, 480, 640)


def test_file_of_camera_calibration(tmp_path):
    text = """
image_width: 640
image_height: 480
camera_name: eye
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 310, 0, 505, 250, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
"""
    path = tmp_path / 'eye.yaml'
    path.write_text(text)
    lens = read_calibration(path)
    assert lens == Calibration(
        640, 480, (500, 0, 310, 0, 505, 250, 0, 0, 1), (0.1, -0.2, 0, 0, 0), 'plumb_bob'
    )
    for bad in ('[1]', 'a: [', text.replace('500, 0, 310', '310'), text.replace('[500', '[0')):
        path.write_text(bad)
        with pytest.raises(CalibrationError, match=r'eye\.yaml'):
            read_calibration(path)
    with pytest.raises(CalibrationError, match='No such file'):
        read_calibration(tmp_path / 'none.yaml')


def test_a_picture_that_vanishes(tmp_path):
    source = Pictures([tmp_path / 'gone.png'], 'gone')
    with pytest.raises(SourceError, match='No such file'):
        list(source.frames())
