# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Streams: what is reused, refreshed, fused and forgotten, and what it costs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import small
from helpers.streams import NAMES, ColorEngine, pan, texture
from hypothesis import given, settings
from hypothesis import strategies as st

import adamtl_ros
from adamtl_ros.nn.io.checkpoint import Model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.stream.stream import Stream, StreamSettings
from adamtl_ros.tasks import UNLABELLED

RATE = 30
ONCE = StreamSettings(account=False, period=10**6, mirror=False)
"""Refresh the first frame only."""


def play(stream, images, budget=0.25, rate=RATE, start=0.0, **options):
    """Step through images at a rate [Hz]."""
    return [
        stream.step(image, start + number / rate, budget, **options)
        for number, image in enumerate(images)
    ]


def same(one, other):
    for name in other:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.fixture(scope='module')
def engine():
    torch_free = Model(small.lite(), 'small')
    return Engine(torch_free, 'cpu')


def test_the_first_frame_is_what_the_engine_says(engine):
    image = texture()
    inference = Stream(engine).step(image, 12.5)
    expected = engine.run(image)
    for name in ('depth', 'normals', 'saliency', 'edges'):
        np.testing.assert_array_equal(inference.results[name], expected.results[name])
    # Classes are compared after softmax, between pixels of the map.
    assert np.mean(inference.results['semseg'] == expected.results['semseg']) > 0.9
    assert (inference.cost, inference.plan) == (expected.cost, expected.plan)
    assert inference.input_size == expected.input_size
    assert (inference.action, inference.reason) == ('refreshed', 'first frame')
    assert (inference.refreshed, inference.age) == (12.5, 0)
    assert set(inference.expected_error) == set(engine.tasks)
    assert all(value == 1 for value in inference.expected_error.values())


def test_a_still_camera_costs_nothing_more(engine):
    image = texture()
    first, *others = play(Stream(engine), [image] * 4)
    for number, inference in enumerate(others, 1):
        assert inference.action == 'reused'
        assert inference.cost.fraction == 0
        assert inference.cost.macs_full == first.cost.macs_full
        assert inference.plan.blocks_run == 0
        assert inference.age == pytest.approx(number / RATE)
        for name in ('depth', 'normals'):
            np.testing.assert_allclose(inference.results[name], first.results[name], atol=0.01)


def test_a_still_camera_stays_below_a_tenth():
    frames = play(Stream(ColorEngine()), [texture()] * 300, 1.0, tasks=['depth'])
    assert np.mean([inference.cost.fraction for inference in frames[90:]]) < 0.1


def test_answers_follow_a_camera_that_turns():
    images = pan(2)
    engine = ColorEngine()
    warped = play(Stream(engine, ONCE), images, tasks=['depth'])[-1].results['depth']
    held = play(Stream(engine, replace(ONCE, warped=False)), images, tasks=['depth'])[-1]
    raw = engine.infer(images[-1], 1.0, ['depth'])
    truth = engine.postprocess(raw.maps, images[-1].shape[:2])['depth']
    inside = np.s_[10:-10, 10:-30]
    error = np.abs(warped - truth)[inside].mean()
    assert error < 0.2 * np.abs(held.results['depth'] - truth)[inside].mean()


def test_a_person_who_walks_in_leaves_no_ghost():
    empty = texture()
    there = empty.copy()
    there[60:110, 80:120] = 255 - there[60:110, 80:120]
    engine = ColorEngine()
    stream = Stream(engine, StreamSettings(account=False, period=10, mirror=False))
    inferences = play(stream, [empty] * 40 + [there] * 11 + [empty] * 10, tasks=['depth'])
    inside, outside = np.s_[70:100, 90:110], np.s_[:50, :70]
    for shown, number in ((there, 50), (empty, 60)):
        raw = engine.infer(shown, 1.0, ['depth'])
        truth = engine.postprocess(raw.maps, shown.shape[:2])['depth']
        result = inferences[number].results['depth']
        assert inferences[number].action == 'refreshed'
        change = 0.05
        np.testing.assert_allclose(result[inside], truth[inside], atol=change)
        np.testing.assert_allclose(result[outside], truth[outside], atol=change)


def test_noise_of_the_network_is_averaged_where_nothing_moves():
    image, engine = texture(), ColorEngine(noise=0.1)
    clean = ColorEngine().infer(image, 1.0, ['depth']).maps['depth']
    truth = engine.postprocess({'depth': clean}, image.shape[:2])['depth']
    settings = StreamSettings(account=False, mirror=False)
    errors = [
        np.abs(np.log(inference.results['depth'] / truth)).mean()
        for inference in play(Stream(engine, settings), [image] * 16, tasks=['depth'])
    ]
    assert errors[15] == pytest.approx(errors[0] / 4, rel=0.3)  # 1 / sqrt(16)


def test_a_constant_weight_is_a_running_mean():
    image, engine = texture(), ColorEngine(noise=0.1)
    settings = StreamSettings(account=False, mirror=False, constant_weight=0.3)
    stream = Stream(engine, settings)
    results = [r.results['depth'] for r in play(stream, [image] * 3, tasks=['depth'])]
    again = ColorEngine(noise=0.1)
    raws = [again.infer(image, 1.0, ['depth']).maps['depth'] for _ in range(3)]
    mean = raws[0]
    for raw in raws[1:]:
        mean = 0.7 * mean + 0.3 * raw
    expected = engine.postprocess({'depth': mean}, image.shape[:2])['depth']
    np.testing.assert_allclose(results[-1], expected, rtol=2e-3)


A, B = texture(1), texture(2)
DARK = np.full_like(A, 3)
BRIGHT = np.clip(A.astype(int) + 60, 0, 255).astype(np.uint8)
ENDS = {
    'cut': ({'image': B}, 'the picture changed'),
    'covered': ({'image': DARK}, 'the brightness jumped'),
    'exposure': ({'image': BRIGHT}, 'the brightness jumped'),
    'size': ({'image': np.ascontiguousarray(A[:100])}, 'another image size'),
    'back': ({'stamp': 9.0}, 'the stamp is not after the one before'),
    'same': ({'stamp': 10 + 9 / RATE}, 'the stamp is not after the one before'),
    'gap': ({'stamp': 15.0}, 'no frame for 4.7 s'),
    'lens': ({'focal': 0.5}, 'another focal length'),
    'tasks': ({'tasks': ['depth', 'saliency']}, 'other tasks'),
}


@pytest.mark.parametrize('end', list(ENDS))
def test_nothing_of_what_is_over_is_left(end):
    changes, reason = ENDS[end]
    engine = ColorEngine()
    stream = Stream(engine, StreamSettings(mirror=False))
    play(stream, [A] * 10, start=10, tasks=['depth'], focal=0.9)
    frame = {'image': A, 'stamp': 10 + 10 / RATE, 'budget': 0.25, 'tasks': ['depth'], 'focal': 0.9}
    frame |= changes
    inference = stream.step(**frame)
    assert (inference.action, inference.reason) == ('refreshed', reason)
    assert (inference.refreshed, inference.age) == (frame['stamp'], 0)
    share = inference.cost.fraction
    raw = engine.infer(frame['image'], share * 1.0001, frame['tasks'], frame['focal'])
    same(inference.results, engine.postprocess(raw.maps, frame['image'].shape[:2]))


def test_an_unknown_focal_length_is_no_other_one():
    stream = Stream(ColorEngine(), ONCE)
    for number, focal in enumerate([None, math.nan, None]):
        inference = stream.step(A, number / RATE, 0.25, ['depth'], focal)
    assert inference.action == 'reused'


def test_fewer_tasks_are_reused_and_others_are_not_answered():
    stream = Stream(ColorEngine(), ONCE)
    stream.step(A, 0.0, 0.25, NAMES)
    inference = stream.step(A, 0.1, 0.25, ['depth'])
    assert inference.action == 'reused'
    assert list(inference.results) == ['depth'] == list(inference.expected_error)


@pytest.mark.parametrize('budget', [0.1, 0.25, 0.5])
def test_a_cut_on_every_frame_neither_overspends_nor_lies(budget):
    engine = ColorEngine()
    stream = Stream(engine, StreamSettings(mirror=False))
    images = [texture(seed) for seed in range(6)] * 20
    frames = play(stream, images, budget, tasks=['semseg', 'depth', 'normals', 'saliency'])
    shares = [inference.cost.fraction for inference in frames]
    for start in range(len(shares) - 89):
        assert sum(shares[start : start + 90]) <= 90 * (budget + 0.02) + 1e-6
    unknown = [inference for inference in frames if inference.action == 'unknown']
    assert unknown or budget == 0.5  # of which small rungs can be paid
    for inference in unknown:
        assert (inference.results['semseg'] == UNLABELLED).all()
        assert np.isnan(inference.results['depth']).all()
        assert np.isnan(inference.results['normals']).all()
        assert not inference.results['saliency'].any()
        assert math.isnan(inference.refreshed)
        assert math.isnan(inference.expected_error['depth'])
    assert all(inference.age == 0 for inference in frames if inference.action == 'refreshed')
    assert not any(inference.action == 'reused' for inference in frames)


@pytest.mark.parametrize('rate', [5, 15, 30])
def test_a_cut_every_second_is_seen_at_once(rate):
    images = [texture(number // rate) for number in range(8 * rate)]
    frames = play(Stream(ColorEngine()), images, 0.25, rate, tasks=['depth'])
    for number, inference in enumerate(frames):
        begin = (number // rate) * rate / rate
        assert not inference.refreshed < begin, number
        if number % rate == 0:
            assert inference.action == 'refreshed'


@given(
    st.lists(
        st.tuples(
            st.sampled_from([-1.0, 0.0, 1 / 30, 0.1, 0.7, 4.0]),
            st.integers(0, 3),
            st.sampled_from([0.05, 0.25, 1.0]),
            st.sampled_from([('depth',), ('depth', 'saliency')]),
        ),
        min_size=1,
        max_size=25,
    )
)
@settings(max_examples=25)
def test_hostile_cameras_get_true_statements(frames):
    images, stream = [texture(0), texture(1), DARK, A[:70].copy()], Stream(ColorEngine())
    stamp, answered = 100.0, []
    for elapsed, shown, budget, tasks in frames:
        stamp += elapsed
        inference = stream.step(images[shown], stamp, budget, tasks)
        assert set(inference.results) == set(tasks)
        for result in inference.results.values():
            assert result.shape[:2] == images[shown].shape[:2]
        if inference.action == 'refreshed':
            assert inference.age == 0
            answered = [stamp]
        elif inference.action == 'reused':
            # An answer is never older than it says, nor from before a break.
            assert inference.refreshed == answered[-1] < stamp
            assert inference.age == stamp - answered[-1]
        assert np.isfinite(inference.balance)


def test_cameras_in_turns_share_an_engine():
    engine = ColorEngine()
    streams = [Stream(engine, ONCE) for _ in range(2)]
    views = [pan(2, seed=3), pan(3, seed=4)]
    alone = [play(Stream(engine, ONCE), images, tasks=['depth']) for images in views]
    for number in range(10):
        for stream, images, expected in zip(streams, views, alone, strict=True):
            inference = stream.step(images[number], number / RATE, 0.25, ['depth'])
            same(inference.results, expected[number].results)


@pytest.mark.parametrize(
    'changes',
    [
        {'stamp': math.nan},
        {'stamp': math.inf},
        {'budget': 0.0},
        {'budget': 1.1},
        {'ceiling': 0.0},
        {'tasks': ['sound']},
        {'tasks': []},
        {'focal': -1.0},
        {'image': A.astype(np.float32)},
        {'image': A[..., 0]},
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(changes):
    stream = Stream(ColorEngine(), ONCE)
    stream.step(A, 0.0, 0.25, ['depth'])
    with pytest.raises(ValueError, match=r'must|unknown|no task'):
        stream.step(**{'image': A, 'stamp': 0.1, 'tasks': ['depth']} | changes)
    assert stream.step(A, 0.2, 0.25, ['depth']).action == 'reused'


def test_a_ceiling_limits_what_one_frame_spends():
    stream = Stream(ColorEngine())
    images = [texture(seed) for seed in range(5)]
    frames = play(stream, images, 1.0, tasks=['depth'], ceiling=0.6)
    assert 0 < max(inference.cost.fraction for inference in frames) <= 0.6
    # Below the smallest rung that one runs, as in the engine.
    smallest = min(stream.engine.model.network.rung_fractions((48, 64), ['depth']))
    tiny = Stream(ColorEngine()).step(A, 0.0, 1.0, ['depth'], ceiling=0.01)
    assert tiny.cost.fraction == pytest.approx(smallest, rel=0.2)


@pytest.mark.parametrize('name', NAMES)
def test_mirrored_refreshes_say_the_same_of_a_network_without_sides(name):
    one, other = (
        play(
            Stream(ColorEngine(), StreamSettings(account=False, mirror=mirror)),
            [texture(0, 120, 160)] * 2,
            tasks=[name],
        )[1]
        for mirror in (False, True)
    )
    a, b = one.results[name].astype(float), other.results[name].astype(float)
    np.testing.assert_allclose(a, b, atol=1e-3 if a.max() < 5 else 1)


def mirrors(engine, images):
    """Return of each refresh whether it sees the mirror image."""
    stream, seen = Stream(engine, StreamSettings(account=False)), []
    for number, image in enumerate(images):
        refresh = stream.observe(image, number / RATE, 0.25, ['depth'])
        seen.append(refresh.mirror)
        stream.absorb(refresh, stream.run(refresh))
    return seen


def test_every_second_refresh_is_mirrored_unless_things_move():
    moving = [A.copy() for _ in range(4)]
    for number, image in enumerate(moving):
        image[40:80, 40 + 25 * number : 80 + 25 * number] = 255
    assert mirrors(ColorEngine(), [A] * 4) == [False, True, False, True]
    assert mirrors(ColorEngine(), pan(1, 4)) == [False, True, False, True]
    assert mirrors(ColorEngine(), moving) == [False] * 4


def test_where_classes_are_sides_nothing_is_mirrored():
    for names, expected in ((['left_arm', 'right_arm'], False), (['upright', 'lefty'], True)):
        network = small.lite()
        parts = network.tasks['human_parts']
        network.tasks['human_parts'] = parts.with_classes(['none', 'a', 'b', 'c', 'd', *names])
        engine = ColorEngine()
        engine.model = Model(network, 'sides')
        assert any(mirrors(engine, [A] * 4)) == expected


# The network in another thread


def test_a_late_answer_is_warped_to_now():
    images, engine = pan(2), ColorEngine()
    stream = Stream(engine, StreamSettings(mirror=False))
    refresh = stream.observe(images[0], 0.0, 0.25, ['depth'])
    assert stream.answer().action == 'unknown'
    for number in range(1, 5):
        assert stream.observe(images[number], number / RATE, 0.25, ['depth']) is None
    stream.absorb(refresh, stream.run(refresh))
    late = stream.answer()
    assert (late.action, late.refreshed) == ('refreshed', 0.0)
    assert late.age == pytest.approx(4 / RATE)
    raw = engine.infer(images[4], 1.0, ['depth'])
    truth = engine.postprocess(raw.maps, images[4].shape[:2])['depth']
    inside = np.s_[10:-10, 10:-20]
    np.testing.assert_allclose(late.results['depth'][inside], truth[inside], atol=0.05)


def test_an_answer_that_comes_after_a_cut_is_not_shown():
    stream = Stream(ColorEngine(), StreamSettings(mirror=False))
    late = stream.observe(A, 0.0, 1.0, ['depth'])
    refresh = stream.observe(DARK, 1 / RATE, 1.0, ['depth'])
    assert refresh is not None
    stream.absorb(late, stream.run(late))
    assert stream.answer().action == 'unknown'
    stream.absorb(refresh, stream.run(refresh))
    assert stream.answer().refreshed == 1 / RATE


def test_a_network_that_fails_does_not_stop_the_stream():
    engine = ColorEngine()
    stream, infer = Stream(engine), engine.infer

    def fail(*_):
        raise RuntimeError('out of memory')

    engine.infer = fail
    for number in range(3):
        with pytest.raises(RuntimeError, match='out of memory'):
            stream.step(A, number / RATE, 1.0, ['depth'])
    assert stream.account.share == 0
    engine.infer = infer
    assert stream.step(A, 0.2, 1.0, ['depth']).action == 'refreshed'


def test_the_answer_of_no_frame():
    with pytest.raises(RuntimeError, match='no frame yet'):
        Stream(ColorEngine()).answer()


# The real engine


def test_a_stream_of_the_public_face(engine):
    assert adamtl_ros.Stream is Stream
    frames = play(adamtl_ros.Stream(engine), pan(2, 30), 0.25)
    spent = [inference.cost.fraction for inference in frames]
    assert sum(spent[:1]) == 1
    assert 0.05 < np.mean(spent) <= 0.25 + 1 / 30
    for inference in frames:
        assert np.isfinite(inference.results['depth']).all()
        assert inference.flow_ms > 0
        assert inference.spent <= 1


def test_results_at_the_size_of_the_network():
    stream = Stream(ColorEngine(output='network'), ONCE)
    inference = play(stream, [A] * 2, tasks=['depth'])[1]
    assert inference.results['depth'].shape == inference.input_size


@pytest.mark.parametrize(
    ('changes', 'message'),
    [({'period': 0}, 'period'), ({'constant_weight': 0.0}, 'constant_weight')],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        StreamSettings(**changes)
