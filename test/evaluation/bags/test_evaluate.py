# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of one recording with a worker process."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.bag_files import (
    CAMERA,
    HEIGHT,
    WIDTH,
    camera_info,
    counts,
    image,
    picture,
    stamp,
    truth,
    write,
)
from helpers.scoring import BUDGETS, COUNT, ENGINE, chosen, score_with_engine

from adamtl_ros.bags.reader import RAW, open_bag
from adamtl_ros.evaluation.bags.evaluate import evaluate_bag
from adamtl_ros.evaluation.bags.summary import build_summary
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS

TRAINED = Engine(load_model('scenes_nano'), 'cpu')
PLAIN = Engine(replace(TRAINED.model, focal=None), 'cpu')


@pytest.fixture(scope='module')
def result(bag):
    return evaluate_bag(bag, ENGINE, chosen(realtime=True))


def test_recording_metadata_in_the_result(bag, result):
    assert (result.name, result.camera, result.failure) == ('run', CAMERA, '')
    assert (result.expected, result.frames) == (COUNT, COUNT)
    assert result.origins == {'depth': truth('depth'), 'edges': truth('edges')}
    assert result.labelled == {'depth': COUNT, 'edges': COUNT // 2}
    assert counts(result.issues) == {
        'no ground truth of edges': COUNT // 2,
        'no normals from the depth camera': 1,
    }
    assert [part.budget for part in result.budgets] == list(BUDGETS)
    json.dumps(result.to_dict(), allow_nan=False)


def test_costs_are_those_of_the_engine_and_fall_with_the_budget(result, answers):
    for part in result.budgets:
        for number, found in enumerate(part.costs):
            expected = answers[part.budget][number].cost
            assert found.stamp == stamp(number)
            assert (found.macs, found.macs_full) == (expected.macs, expected.macs_full)
            assert (found.blocks_run, found.windows_run) == (
                expected.blocks_run, expected.windows_run,
            )  # fmt: skip
            assert found.latency_ms > found.infer_ms > 0
    spent = [np.mean([one.macs for one in part.costs]) for part in result.budgets]
    assert spent == sorted(spent, reverse=True)
    assert spent[0] > 1.2 * spent[-1]
    assert (result.budgets[0].usage.map == 1).all()
    assert result.budgets[-1].usage.map.mean() < 1
    assert {part.usage.frames for part in result.budgets} == {COUNT}


def test_a_trained_network_keeps_its_budgets(bag):
    found = evaluate_bag(bag, TRAINED, chosen(budgets=(1.0, 0.5), shown=0.5, tasks=('depth',)))
    shares = [np.mean([one.mac_fraction for one in part.costs]) for part in found.budgets]
    assert shares[0] == pytest.approx(1, abs=0.03)
    assert shares[1] < 0.6


def test_two_evaluations_give_the_same(bag, tmp_path):
    settings = chosen(realtime=True, tasks=('depth', 'edges', 'semseg'))
    tasks = {name: TASKS[name] for name in settings.tasks}
    told = []
    for number in range(2):
        found = evaluate_bag(bag, ENGINE, replace(settings, out=tmp_path / str(number)))
        summary = build_summary([found], settings, tasks, wall_s=1 + number)
        del summary['timing']
        told.append((found.to_dict(), summary, [one.picture for one in found.examples]))
    assert told[0] == told[1]
    json.dumps(told[0][1], allow_nan=False)


def test_progress_is_called_for_each_frame(bag):
    told = []
    main = threading.get_ident()
    settings = chosen(budgets=(1.0,), shown=1.0, tasks=('edges',))
    evaluate_bag(bag, ENGINE, settings, lambda: told.append(threading.get_ident()))
    assert told == [main] * COUNT


def test_a_bag_that_is_not_there_is_a_failure(tmp_path):
    found = evaluate_bag(tmp_path / 'nowhere', ENGINE, chosen())
    assert found.failure == f'{tmp_path}/nowhere: no such file or folder'


def test_tasks_that_the_model_lacks_are_an_error(bag):
    with pytest.raises(ValueError, match="unknown task 'colour', choose from: semseg"):
        evaluate_bag(bag, ENGINE, chosen(tasks=('colour',)))


class Broken:
    """An engine that fails at the third frame."""

    def __init__(self):
        self.model, self._left = ENGINE.model, 2 * len(BUDGETS)

    def run(self, *arguments):  # noqa: D102
        if not self._left:
            raise RuntimeError('out of memory')
        self._left -= 1
        return ENGINE.run(*arguments)


def test_exceptions_of_the_engine_are_raised(bag, tmp_path):
    before = threading.active_count()
    with pytest.raises(RuntimeError, match='out of memory'):
        evaluate_bag(bag, Broken(), chosen(out=tmp_path))
    assert threading.active_count() <= before + 1  # what reads ends with the error
    with open_bag(tmp_path / 'run' / 'predictions') as reader:
        assert reader.message_count <= 2 * 9


@pytest.mark.parametrize('inside', ['', 'run', 'run/video.mp4'])
def test_exceptions_of_the_worker_are_raised(bag, tmp_path, inside):
    """A file where a folder should be, or the other way round; the next bag is none the worse."""
    out, there = tmp_path / 'out', tmp_path / 'out' / inside
    there.parent.mkdir(parents=True, exist_ok=True)
    there.mkdir() if inside.endswith('mp4') else there.touch()
    settings = chosen(budgets=(1.0,), shown=1.0, tasks=('edges',))
    with pytest.raises(OSError, match=r'video\.mp4') as caught:
        evaluate_bag(bag, ENGINE, replace(settings, out=out))
    assert 'score_recording' in str(caught.value.__cause__)
    assert evaluate_bag(bag, ENGINE, settings).frames == COUNT


def test_the_worker_process_does_not_change_the_result(bag):
    found = evaluate_bag(bag, ENGINE, chosen())
    assert found.to_dict() == score_with_engine(bag, chosen())[0].to_dict()
    assert found.wall_s > 0


def test_a_link_to_a_recording_is_read_under_its_own_name(bag, tmp_path, monkeypatch):
    """The folder of a process that is kept is not that of the caller."""
    (file,) = bag.glob('*.mcap')
    (tmp_path / 'stored').write_bytes(file.read_bytes())
    (tmp_path / 'drive.mcap').symlink_to('stored')
    monkeypatch.chdir(tmp_path)
    settings = chosen(budgets=(1.0,), shown=1.0, tasks=('edges',), out=Path('out'))
    found = evaluate_bag(Path('drive.mcap'), ENGINE, settings, name='drive')
    assert (found.name, found.frames, found.failure) == ('drive', COUNT, '')
    assert (tmp_path / 'out' / 'drive' / 'video.mp4').stat().st_size > 0


def test_damaged_images_are_skipped(tmp_path):
    entries = [
        (stamp(n), CAMERA, (RAW, b'\0\1\0\0\1') if n in (2, 3) else image(stamp(n), picture(n)))
        for n in range(COUNT)
    ]
    told = []
    found = evaluate_bag(
        write(tmp_path / 'bag', entries), ENGINE, chosen(tasks=('depth',)), lambda: told.append(0)
    )
    assert (found.expected, found.frames, found.failure, len(told)) == (6, 4, '', 4)
    assert counts(found.issues) == {'image cannot be read': 2}
    assert [one.stamp for one in found.budgets[0].costs] == [stamp(n) for n in (0, 1, 4, 5)]


UNKNOWN = 'focal length unknown; depth is scaled as if the lens was that of the training'


def depth_error(tmp_path, model, *infos):
    """Return the relative error of depth against that of a lens of 1.2, and the issues."""
    path = tmp_path / str(len(list(tmp_path.iterdir())))
    entries = []
    for number in range(2):
        shot = picture(number)
        depth = PLAIN.run(shot, tasks=['depth']).results['depth'] * np.float32(1.2 / 0.9)
        entries += [
            (stamp(number), CAMERA, image(stamp(number), shot)),
            (stamp(number), truth('depth'), image(stamp(number), depth)),
            *((stamp(number), '/camera/camera_info', info) for info in infos),
        ]
    settings = chosen(tasks=('depth',), budgets=(1.0,), shown=1.0)
    found = evaluate_bag(write(path, entries), Engine(model, 'cpu'), settings)
    return found.budgets[0].scores.truth.compute()['depth']['abs_rel'], counts(found.issues)


def test_depth_is_that_of_the_lens_of_the_recording(tmp_path):
    aware = replace(TRAINED.model, focal=0.9)
    info = camera_info(1.2 * (HEIGHT * WIDTH) ** 0.5, (31.5, 23.5), (HEIGHT, WIDTH))
    error, issues = depth_error(tmp_path, aware, info)
    assert error < 1e-4
    assert UNKNOWN not in issues
    for infos in ((), (camera_info(0.0, (0, 0), (HEIGHT, WIDTH)),)):
        error, issues = depth_error(tmp_path, aware, *infos)
        assert error == pytest.approx(0.25, rel=1e-3)
        assert issues[UNKNOWN] == 2
    error, issues = depth_error(tmp_path, PLAIN.model, info)
    assert error == pytest.approx(0.25, rel=1e-3)
    assert UNKNOWN not in issues
