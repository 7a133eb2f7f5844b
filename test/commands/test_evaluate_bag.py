# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl evaluate-bag`, by its command line."""

import json
import shutil

import numpy as np
import pytest
from helpers import bag_files
from helpers.permissions import check_permissions

from adamtl_ros.bags.reader import find_camera
from adamtl_ros.commands.main import main
from adamtl_ros.data.labelled_bag import LabelledBag


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    bag = tmp_path_factory.mktemp('bags') / 'room'
    assert main(['draw-bag', str(bag), '--frames', '3']) == 0
    return bag


def evaluate(*arguments):
    return main(['evaluate-bag', *map(str, arguments), '--budgets', '0.5'])


def test_a_bad_bag_is_reported_and_the_rest_evaluated(room, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    out = tmp_path / 'out'
    assert evaluate(tmp_path / 'empty', room, '--out', out) == 1
    text = capsys.readouterr().out
    assert 'empty: NOT EVALUATED:' in text
    assert 'it holds no .mcap or .db3 file' in text
    summary = json.loads((out / 'metrics.json').read_text())
    assert [bag['evaluated'] for bag in summary['bags']] == [0, 3]
    assert [row['budget'] for row in summary['results']] == [1.0, 0.5]
    made = sorted(path.name for path in (out / 'room').iterdir())
    assert made == ['predictions', 'video.mp4']
    assert find_camera(out / 'room' / 'predictions', '/adamtl/edges/image').frames == 3
    check_permissions(out)


def walk(path, unmeasured):
    """Write a walk with a depth camera that has a value where it measures nothing."""
    depth = bag_files.plain(1500, np.uint16)
    depth[:6] = unmeasured
    entries = [(bag_files.stamp(n), '/camera/depth/image_raw',
                bag_files.image(bag_files.stamp(n), depth)) for n in range(3)]  # fmt: skip
    return bag_files.write(path, bag_files.frames(range(3)) + entries)


def test_what_a_depth_camera_does_not_measure_has_no_error(tmp_path, capsys):
    """Kinect's 65535 would be 65.5 m, beside which no improvement is visible."""
    found, notes = {}, {}
    for unmeasured, options in ((0, []), (65535, []), (30000, []), (30000, ['--max-depth', 31])):
        name = f'{unmeasured}_{len(options)}'
        bag = walk(tmp_path / name, unmeasured)
        assert evaluate(bag, '--out', tmp_path / 'out', '--tasks', 'depth', *options) == 0
        summary = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
        found[name] = summary['results'][0]['truth']['depth']['values']['rmse']
        notes[name] = [note['what'] for note in summary['bags'][0]['notes']]
        printed = capsys.readouterr().out
        assert all(note in printed for note in notes[name])
        shutil.rmtree(tmp_path / 'out')
    assert found['65535_0'] == found['30000_0'] == found['0_0'] < 5 < found['30000_2']
    topic = '/camera/depth/image_raw'
    # The small bag has no calibration.
    expected = ('no normals from the depth camera', 'focal length unknown')
    assert [[x for x in some if not x.startswith(expected)] for some in notes.values()] == [
        [],
        [f'65535 on {topic} is no distance; these pixels are unknown'],
        [f'depth beyond 20 m on {topic} is taken as unknown'],
        [],
    ]


def test_two_runs_write_the_same_numbers(room, tmp_path):
    found = []
    for name in 'ab':
        assert evaluate(room, '--realtime', '--out', tmp_path / name) == 0
        summary = json.loads((tmp_path / name / 'metrics.json').read_text())
        summary.pop('timing')
        found.append(json.dumps(summary))
    assert found[0] == found[1]
    files = [str(tmp_path / name / 'metrics.json') for name in 'ab']
    assert main(['compare', *files]) == 0


def test_nothing_evaluated_is_an_error(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    assert evaluate(tmp_path / 'empty', '--out', tmp_path / 'out') == 2
    assert 'no frame could be evaluated' in capsys.readouterr().err
    assert (tmp_path / 'out' / 'report.html').is_file()


def test_bags_of_one_name_get_numbers(room, tmp_path, capsys):
    shutil.copytree(room, tmp_path / 'other' / 'room')
    assert evaluate(room, tmp_path / 'other' / 'room', '--out', tmp_path / 'out') == 0
    summary = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert [bag['name'] for bag in summary['bags']] == ['room', 'room_2']
    assert evaluate(room, room, '--out', tmp_path / 'out') == 2
    assert f'given twice: {room}' in capsys.readouterr().err


@pytest.mark.parametrize('out', ['room', 'room/results', '.'])
def test_results_are_not_written_into_a_bag(room, tmp_path, capsys, out):
    bag = tmp_path / 'room'
    shutil.copytree(room, bag)
    before = sorted(path.name for path in bag.iterdir())
    assert evaluate(bag, '--out', tmp_path / out) == 2
    message = f'the results would be written into {bag}; choose an --out outside of it'
    assert message in capsys.readouterr().err
    file = next(bag.glob('*.mcap'))
    assert evaluate(file, '--out', bag) == 2
    assert sorted(path.name for path in bag.iterdir()) == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--budgets', 'abc'], "--budgets takes numbers such as '1.0,0.75,0.5,0.35', got 'abc'"),
        (['--budgets', ''], "--budgets takes numbers such as '1.0,0.75,0.5,0.35', got ''"),
        (['--budgets', '2'], 'a budget must lie in (0, 1], got 2.0'),
        (['--budgets', '0'], 'a budget must lie in (0, 1], got 0.0'),
        (['--shown', '0.4'], 'budget 0.4 is not evaluated, choose from'),
        (['--shown', '0'], 'budget 0.0 is not evaluated, choose from'),
        (['--tasks', 'depth,lidar'], "unknown task 'lidar', choose from: semseg"),
        (['--truth', 'depth'], "--truth takes TASK=TOPIC, got 'depth'"),
        (['--truth', 'lidar=/x'], "unknown task 'lidar'"),
        (['--workers', '0'], '--workers takes 1 or more, got 0'),
        (['--threads', '0'], 'needs at least 1 thread, got 0'),
        (['--model', 'nowhere'], "model 'nowhere': no such file"),
        (['--ray', 'wrong'], "--ray takes HOST:PORT, ray://HOST:PORT, auto or local, got 'wrong'"),
        (['--ray', 'wrong.invalid:1'], "no Ray cluster answers at 'wrong.invalid:1'"),
    ],
)
def test_wrong_options_are_one_sentence(room, tmp_path, capsys, options, message):
    assert main(['evaluate-bag', str(room), '--out', str(tmp_path / 'out'), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert 'Traceback' not in error


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('semseg: {0: kat}', "class map: semseg 0 is 'kat', which the model does not know"),
        ('saliency: {0: floor}', "class map for 'saliency', choose from"),
    ],
)
def test_a_class_map_of_another_model_is_refused_before_the_first_bag(
    room, tmp_path, capsys, text, message
):
    classes = tmp_path / 'classes.yaml'
    classes.write_text(text)
    assert evaluate(room, '--classes', classes, '--out', tmp_path / 'out') == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_ids_without_a_class_are_reported(room, tmp_path, capsys):
    classes = tmp_path / 'classes.yaml'
    classes.write_text('semseg: {0: floor}')
    assert evaluate(room, '--classes', classes, '--out', tmp_path / 'out') == 0
    assert 'semseg has id 1, which nothing says the class of' in capsys.readouterr().out
    summary = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert summary['settings']['classes'] == {'semseg': {'0': 'floor'}}
    assert summary['bags'][0]['notes'][0]['count'] == 3


def test_an_existing_bag_is_not_overwritten(room, capsys, tmp_path):
    assert main(['draw-bag', str(room)]) == 1
    assert f'{room} exists already' in capsys.readouterr().err
    assert main(['draw-bag', str(tmp_path / 'none'), '--frames', '0']) == 1
    assert '--frames takes 1 or more, got 0' in capsys.readouterr().err


def test_a_synthetic_bag_of_another_room_and_domain(tmp_path, capsys):
    images = []
    for number, options in enumerate((['--seed', '3'], ['--seed', '3', '--domain', 'cellar'])):
        bag = tmp_path / str(number)
        assert main(['draw-bag', str(bag), '--frames', '1', *options]) == 0
        images.append(LabelledBag(bag)[0].image)
    assert images[1].mean() < 0.8 * images[0].mean()
    assert main(['draw-bag', str(tmp_path / 'attic'), '--domain', 'attic']) == 1
    assert "unknown domain 'attic', choose from: room, cellar" in capsys.readouterr().err
    assert not (tmp_path / 'attic').exists()


def test_a_synthetic_bag_of_another_camera_and_rate(tmp_path, capsys):
    for camera, moves in (('still', False), ('walking', True)):
        bag = tmp_path / camera
        options = ['--frames', '3', '--rate', '2', '--seed', '3', '--camera', camera]
        assert main(['draw-bag', str(bag), *options]) == 0
        labels = [LabelledBag(bag)[number].labels for number in range(3)]
        depths = [one['depth'] for one in labels]
        people = np.logical_or.reduce([one['human_parts'] > 0 for one in labels])
        changed = (depths[0] != depths[2])[~people]
        assert changed.any() == moves
    assert find_camera(bag).duration_s == pytest.approx(1.0)
    assert main(['draw-bag', str(tmp_path / 'none'), '--rate', '0']) == 1
    assert '--rate must lie in (0, 1000] Hz, got 0' in capsys.readouterr().err


def test_macs_above_the_budget_are_reported(room, tmp_path, capsys):
    arguments = [str(room), '--budgets', '0.01', '--out', str(tmp_path / 'out')]
    assert main(['evaluate-bag', *arguments]) == 0
    assert 'MACs above the budget at 0.01' in capsys.readouterr().out
