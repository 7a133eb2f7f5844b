# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Predictions as a bag and as a video."""

from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from helpers.bag_files import STORE, cost, picture, seen, stamp
from rosbags.image import message_to_cvimage

from adamtl_ros.bags.reader import RAW, open_bag
from adamtl_ros.bags.writer import LABEL_INFO, STATS
from adamtl_ros.evaluation.bags.outputs import Predictions, Video, remove_outputs
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS

torch.set_num_threads(1)  # a busy machine makes more of them much slower
ENGINE = Engine(load_model('pico'), 'cpu')
SIZES = [(48, 64), (48, 64), (64, 48), (24, 64), (48, 64)]
FRAMES = [seen(number, picture(number, *size)) for number, size in enumerate(SIZES)]
ANSWERS = [ENGINE.run(frame.image, 0.6) for frame in FRAMES]


def spent(number, answer):
    return cost(
        0, number, macs=answer.cost.macs, macs_full=answer.cost.macs_full, energy_j=0.25,
        blocks_run=answer.cost.blocks_run, windows_run=answer.cost.windows_run,
    )  # fmt: skip


def fill(output, frames=FRAMES, answers=ANSWERS):
    for frame, answer in zip(frames, answers, strict=True):
        output.add(frame, answer, spent(frame.index, answer))
    output.close()


def messages(path):
    """Return times of recording and messages by topic."""
    found = {}
    with open_bag(path) as reader:
        for connection, time, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((time, connection.msgtype, message))
    return found


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('out') / 'run' / 'predictions'
    fill(Predictions(path, TASKS, 'pico at 0.6', 0.6))
    return messages(path)


def test_the_bag_has_the_topics_of_the_node(bag):
    images = {f'/adamtl/{task}/image' for task in TASKS}
    names = {f'/adamtl/{task}/label_info' for task in ('semseg', 'human_parts')}
    assert set(bag) == images | names | {'/adamtl/compute_stats'}
    assert {bag[topic][0][1] for topic in images} == {RAW}
    assert {bag[topic][0][1] for topic in names} == {LABEL_INFO}
    assert bag['/adamtl/compute_stats'][0][1] == STATS


def test_results_are_those_of_the_engine_bit_for_bit(bag):
    for task in TASKS:
        for (_, _, message), answer in zip(bag[f'/adamtl/{task}/image'], ANSWERS, strict=True):
            expected = answer.results[task]
            there = message_to_cvimage(message)
            assert (there.dtype, message.encoding) == (expected.dtype, TASKS[task].encoding)
            assert (message.height, message.width) == expected.shape[:2]
            assert message.step * message.height == len(message.data) == expected.nbytes
            np.testing.assert_array_equal(there, expected)


def test_stamps_and_times_are_those_of_the_images(bag):
    for topic, entries in bag.items():
        expected = FRAMES[:1] if topic.endswith('label_info') else FRAMES
        for (time, _, message), frame in zip(entries, expected, strict=True):
            of = message.header.stamp
            assert of.sec * 10**9 + of.nanosec == frame.stamp
            assert time == frame.recorded
            assert message.header.frame_id == 'camera'


def test_class_names(bag):
    for task in ('semseg', 'human_parts'):
        ((_, _, info),) = bag[f'/adamtl/{task}/label_info']
        names = {entry.class_id: entry.class_name for entry in info.class_map}
        assert names == dict(enumerate(TASKS[task].classes))


def test_statistics_say_what_was_spent(bag):
    for number, (_, _, stats) in enumerate(bag['/adamtl/compute_stats']):
        answer = ANSWERS[number].cost
        assert (stats.macs, stats.macs_full) == (answer.macs, answer.macs_full)
        assert (stats.blocks_run, stats.blocks_total) == (answer.blocks_run, answer.blocks_total)
        assert (stats.windows_run, stats.windows_total) == (
            answer.windows_run, answer.windows_total,
        )  # fmt: skip
        assert (stats.sequence, stats.frames_processed, stats.frames_dropped) == (
            number + 1, number + 1, 0,
        )  # fmt: skip
        assert (stats.model, stats.device, stats.tasks) == ('pico at 0.6', 'offline', list(TASKS))
        assert (stats.engine, stats.precision) == ('torch', 'float32')
        assert stats.requested_budget == stats.effective_budget == np.float32(0.6)
        assert stats.limit_reason == stats.USER == 0
        assert (stats.latency_ms, stats.infer_ms, stats.energy) == (10, 7, 0.25)
        assert np.isnan([stats.age_ms, stats.publish_ms, stats.battery_budget]).all()


def test_a_floor_above_the_budget_is_the_limit_reason(tmp_path):
    answer = replace(ANSWERS[0], cost=replace(ANSWERS[0].cost, floor=True))
    fill(Predictions(tmp_path / 'bag', TASKS, 'pico', 0.01), FRAMES[:1], [answer])
    ((_, _, stats),) = messages(tmp_path / 'bag')['/adamtl/compute_stats']
    assert stats.requested_budget == np.float32(0.01)
    assert stats.effective_budget == np.float32(answer.cost.fraction)
    assert stats.limit_reason == stats.FLOOR


def test_an_older_bag_at_the_same_place_goes(tmp_path):
    path = tmp_path / 'predictions'
    for count in (3, 1):
        remove_outputs(tmp_path)
        fill(Predictions(path, TASKS, 'pico', 0.6), FRAMES[:count], ANSWERS[:count])
    assert len(messages(path)['/adamtl/compute_stats']) == 1


def test_a_bag_of_no_frames_is_whole(tmp_path):
    Predictions(tmp_path / 'bag', TASKS, 'pico', 0.6).close()
    assert messages(tmp_path / 'bag') == {}


def test_big_stamps_and_names(tmp_path):
    frame = replace(FRAMES[0], stamp=2_000_000_000_999_999_999, frame_id='Kamera/ü')
    fill(Predictions(tmp_path / 'bag', TASKS, 'pico', 0.6), [frame], ANSWERS[:1])
    ((_, _, message),) = messages(tmp_path / 'bag')['/adamtl/depth/image']
    stamp_of = message.header.stamp
    assert (stamp_of.sec, stamp_of.nanosec) == (2_000_000_000, 999_999_999)
    assert message.header.frame_id == 'Kamera/ü'


def decoded(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format='rgb24')) for frame in container.decode()]


def test_the_video_has_every_image(tmp_path):
    """Also where their size changes: those pages are cut or filled up."""
    fill(Video(tmp_path / 'of' / 'video.mp4', TASKS, 'pico'))
    found = decoded(tmp_path / 'of' / 'video.mp4')
    assert len(found) == len(FRAMES)
    times = [time for time, _ in found]
    assert np.diff(times) == pytest.approx([0.1] * (len(FRAMES) - 1), abs=0.002)
    assert {image.shape for _, image in found} == {(2 * (24 + 240 + 54), 4 * 320, 3)}
    # The camera stands at the top left.
    small = np.array([image[24 : 24 + 240 : 5, :320:5] for _, image in found[:2]], float)
    expected = np.array([frame.image for frame in FRAMES[:2]], float)
    assert np.abs(small - expected).mean() < 12


@pytest.mark.parametrize('steps', [[0] * 5, [0, 10**8, 5 * 10**7, 5 * 10**7, 3 * 10**8]])
def test_times_that_stand_still_or_go_back(tmp_path, steps):
    frames = [replace(frame, recorded=stamp(0) + step)
              for frame, step in zip(FRAMES, steps, strict=True)]  # fmt: skip
    fill(Video(tmp_path / 'video.mp4', TASKS, 'pico'), frames)
    found = decoded(tmp_path / 'video.mp4')
    assert len(found) == len(frames)
    times = [time for time, _ in found]
    assert times == sorted(set(times))
    assert times[-1] - times[0] == pytest.approx(max(steps) / 1e9, abs=0.01)


def test_a_video_of_nothing_is_no_file(tmp_path):
    Video(tmp_path / 'video.mp4', TASKS, 'pico').close()
    assert not (tmp_path / 'video.mp4').exists()


def test_messages_of_the_bag_are_those_that_ros_knows(bag):
    """Their definitions travel with the bag, under the names that ROS has for them."""
    assert STATS in STORE.types
    ((_, _, info),) = bag['/adamtl/semseg/label_info']
    assert info.__msgtype__ == LABEL_INFO
