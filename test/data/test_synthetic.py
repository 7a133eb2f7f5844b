# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes as a data set, on the fly and from disk."""

import json
from dataclasses import replace

import numpy as np
import pytest

from adamtl_ros.data.synthetic import ScenesConfig, SyntheticScenes, render_sample
from adamtl_ros.sample import DataError
from adamtl_ros.scenes.labels import SCENE_CLASSES
from adamtl_ros.tasks import TASKS

CONFIG = ScenesConfig(scenes=2, frames=2, height=24, width=32, first_seed=7, samples=1)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with the images of CONFIG, by two processes; tests leave it as it is."""
    path = tmp_path_factory.mktemp('scenes') / 'new' / 'set'
    calls = []
    SyntheticScenes(CONFIG, path, workers=2, progress=lambda *counts: calls.append(counts))
    assert calls == [(1, 2), (2, 2)]
    return path


def same(one, other):
    return (one.image == other.image).all() and all(
        (label == other.labels[name]).all() for name, label in one.labels.items()
    )


def state(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_written_images_equal_drawn_ones(folder):
    rendered, written = SyntheticScenes(CONFIG), SyntheticScenes(CONFIG, folder)
    assert len(rendered) == len(written) == 4
    for index in range(4):
        one, other = rendered[index], written[index]
        assert (one.image == other.image).all()
        assert list(one.labels) == list(other.labels) == list(TASKS)
        for name, label in one.labels.items():
            kept = other.labels[name]
            assert kept.dtype == label.dtype
            if name in ('depth', 'normals'):
                assert (kept == label.astype(np.float16)).all()
                np.testing.assert_allclose(kept, label, rtol=5e-4, atol=1e-6)
            else:
                assert (kept == label).all()
        assert other.difficulty == pytest.approx(one.difficulty, abs=1e-6)
        assert other.name == f'scene {7 + index // 2}, image {index % 2}'


def test_what_is_read_may_be_changed(folder):
    data = SyntheticScenes(CONFIG, folder)
    sample = data[1]
    sample.image[:] = 0
    sample.labels['semseg'][:] = 0
    assert data[1].image.any()
    assert data[1].labels['semseg'].any()


def test_a_second_opening_does_not_draw_again(folder):
    before = state(folder)
    calls = []
    data = SyntheticScenes(CONFIG, folder, progress=lambda *counts: calls.append(counts))
    assert state(folder) == before
    assert not calls
    assert same(data[3], SyntheticScenes(CONFIG, folder)[3])


def test_images_follow_each_other_within_a_scene():
    data = SyntheticScenes(CONFIG)
    assert data[0].difficulty == data[1].difficulty != data[2].difficulty
    assert (data[0].image != data[1].image).any()
    later = SyntheticScenes(replace(CONFIG, step=1.0, frames=3, scenes=1))
    # Two seconds after the beginning is the second image here, and the third one there.
    assert same(later[2], data[1])
    shifted = SyntheticScenes(replace(CONFIG, first_seed=8))
    assert same(shifted[0], data[2])
    assert same(render_sample(CONFIG, 3), data[3])


def test_difficulty_is_that_of_the_configuration():
    for level in (0.0, 1.0):
        data = SyntheticScenes(replace(CONFIG, difficulty=level))
        assert [data[index].difficulty for index in range(4)] == [level] * 4
    bare, full = (
        sum(d[i].labels['edges'].mean() for i in range(4))
        for d in (SyntheticScenes(replace(CONFIG, difficulty=level)) for level in (0, 1))
    )
    assert bare < full


def test_tasks_have_the_classes_of_the_scenes():
    tasks = SyntheticScenes(CONFIG).tasks
    assert list(tasks) == list(TASKS)
    assert tasks['semseg'].classes == SCENE_CLASSES
    assert tasks['human_parts'] == TASKS['human_parts']


def test_numbers_out_of_range_are_refused(folder):
    for data in (SyntheticScenes(CONFIG), SyntheticScenes(CONFIG, folder)):
        for index in (-1, 4):
            with pytest.raises(IndexError, match=f'image {index} of 4'):
                data[index]


@pytest.mark.parametrize('name', ['scenes', 'frames', 'height', 'width', 'samples'])
def test_sizes_that_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match='sizes of a set of scenes must be positive'):
        replace(CONFIG, **{name: 0})


def test_domains_differ_in_images_alone():
    data, cellar = (SyntheticScenes(replace(CONFIG, domain=name)) for name in ('room', 'cellar'))
    assert (data[1].image != cellar[1].image).any()
    assert data[1].difficulty == cellar[1].difficulty
    with pytest.raises(ValueError, match=r"unknown domain 'attic', choose from: room"):
        replace(CONFIG, domain='attic')


def test_images_drawn_before_there_were_domains_are_kept(tmp_path):
    one = replace(CONFIG, scenes=1, frames=1)
    SyntheticScenes(one, tmp_path)
    mark = json.loads((tmp_path / 'scenes.json').read_text())
    del mark['domain']
    (tmp_path / 'scenes.json').write_text(json.dumps(mark))
    before = state(tmp_path)
    SyntheticScenes(one, tmp_path)
    assert state(tmp_path) == before
    (tmp_path / 'scenes.json').write_text('{"scenes": 1, "fra')  # a damaged mark: draw again
    moved = SyntheticScenes(replace(one, domain='cellar'), tmp_path)[0]
    assert (moved.image == render_sample(replace(one, domain='cellar'), 0).image).all()


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(DataError, match='something else than rendered scenes; choose another'):
        SyntheticScenes(CONFIG, tmp_path)
    assert (tmp_path / 'thesis.tex').read_text() == 'years of work'
    assert len(list(tmp_path.iterdir())) == 1


def test_unfinished_images_and_those_of_another_configuration_are_drawn_anew(tmp_path):
    one = replace(CONFIG, scenes=1, frames=1)
    # As a process that was killed leaves it: no mark that all is there, and empty planes.
    (tmp_path / 'unfinished').touch()
    np.save(tmp_path / 'image.npy', np.zeros((1, 24, 32, 3), np.uint8))
    first = SyntheticScenes(one, tmp_path)[0]
    assert (first.image == render_sample(one, 0).image).all()
    assert not (tmp_path / 'unfinished').exists()
    other = replace(one, first_seed=9, width=40)
    second = SyntheticScenes(other, tmp_path)[0]
    assert (second.image == render_sample(other, 0).image).all()
    assert second.image.shape == (24, 40, 3)
