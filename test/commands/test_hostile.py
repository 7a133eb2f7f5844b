# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files that are damaged or made to do harm: each verb ends with a sentence and its status."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import bag_files
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.bags.reader import BagError, open_bag
from adamtl_ros.commands.main import main
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.evaluation.bags import evaluate as evaluation
from adamtl_ros.evaluation.bags.evaluate import evaluate_bag
from adamtl_ros.evaluation.bags.result import EvaluationSettings
from adamtl_ros.nn.io.checkpoint import CheckpointError, load_model
from adamtl_ros.nn.io.convert import import_mtlora, read_pth
from adamtl_ros.runtime.engine import Engine

ANCHORS = ', '.join(
    f'&{name} [{", ".join(["*" + before] * 10)}]'
    for before, name in zip('abcdefghijkl', 'bcdefghijklm', strict=True)
)
BOMB = f'KEY: [&a [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], {ANCHORS}]'
"""YAML of references to references: 10^13 entries."""


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bags') / 'room'
    write_synthetic_bag(path, frames=3, size=(48, 64))
    return path


def status(arguments, capfd):
    """Return the status of a command and its only line of errors."""
    code = main([str(one) for one in arguments])
    error = capfd.readouterr().err
    assert 'Traceback' not in error
    return code, error


# compare


def entries(value, path=()):
    """Yield the path of every entry of nested values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*path, key)
        if isinstance(one, (dict, list)):
            yield from entries(one, (*path, key))


@pytest.fixture(scope='module')
def summary(bag, tmp_path_factory):
    """Make a metrics.json of a real evaluation."""
    out = tmp_path_factory.mktemp('out')
    code = main(
        ['evaluate-bag', str(bag), '--model', 'nano', '--budgets', '0.5', '--out', str(out)]
    )
    assert code == 0
    return json.loads((out / 'metrics.json').read_text())


WRONG = (None, [], {}, 'x', -1, 1e308, 2**70, True, [None], {'a': []})


def test_a_damaged_summary_is_no_regression(summary, tmp_path, capsys):
    """Each entry in turn is gone, or is another value; a crash would have the status 1."""
    good = tmp_path / 'good.json'
    good.write_text(json.dumps(summary))
    chosen = sorted(entries(summary), key=str)[:: len(list(entries(summary))) // 120]
    for number, (*path, last) in enumerate(chosen):
        damaged = copy.deepcopy(summary)
        place = damaged
        for key in path:
            place = place[key]
        if number % 3:
            place[last] = WRONG[number % len(WRONG)]
        else:
            del place[last]
        (tmp_path / 'bad.json').write_text(json.dumps(damaged))
        for pair in (('good.json', 'bad.json'), ('bad.json', 'good.json')):
            code = main(['compare', *(str(tmp_path / name) for name in pair), '--times'])
            found = capsys.readouterr()
            assert code in (0, 1, 2)
            assert (code == 1) == ('REGRESSION' in found.out), (path, last)
            assert (code == 2) == found.err.startswith('adamtl compare: ')


@pytest.mark.parametrize(
    'text', ['[' * 100_000, '{"format": NaN}', '{"format": ' + '9' * 5000 + '}', '\ud800', BOMB]
)
def test_what_is_no_summary_is_no_regression(text, tmp_path, capfd):
    path = tmp_path / 'metrics.json'
    path.write_bytes(text.encode(errors='surrogatepass'))
    code, error = status(['compare', path, path], capfd)
    assert code == 2
    assert len(error) < 1000


def test_an_unexpected_error_is_a_sentence(monkeypatch, tmp_path, capfd):
    def fail(_path):
        raise AssertionError('wrong\x1b[31m\nline')

    monkeypatch.setattr('adamtl_ros.evaluation.bags.compare.read_summary', fail)
    code, error = status(['compare', tmp_path, tmp_path], capfd)
    assert code == 2
    assert error == (
        'adamtl compare: AssertionError: wrong\\x1b[31m\\nline (ADAMTL_TRACEBACK=1 shows where)\n'
    )
    monkeypatch.setenv('ADAMTL_TRACEBACK', '1')
    with pytest.raises(AssertionError):
        main(['compare', str(tmp_path), str(tmp_path)])


# import-mtlora


@pytest.fixture(scope='module')
def weights():
    """Return a file of `torch.save()` as bytes."""
    import io

    file = io.BytesIO()
    content = {
        'model': {
            'backbone.patch_embed.proj.weight': torch.zeros(8, 3, 4, 4),
            'backbone.layers.0.blocks.0.attn.relative_position_bias_table': torch.zeros(9, 2),
            'downsampler.depth.downsample_0.weight': torch.zeros(8, 8, 1, 1),
        },
        'epoch': 3,
    }
    torch.save(content, file)
    return file.getvalue()


@given(data=st.data())
def test_damaged_weights_are_a_checkpoint_error(weights, tmp_path_factory, data):
    damaged = bytearray(weights)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / 'damaged.pth'
    path.write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))])
    with pytest.raises(CheckpointError):
        import_mtlora(path)


def test_weights_that_are_larger_than_the_file(tmp_path):
    """One number that stands for a tensor of terabytes, and a compressed archive."""
    import zipfile

    path = tmp_path / 'large.pth'
    torch.save({'w': torch.zeros(1).expand(1 << 40)}, path)
    with pytest.raises(CheckpointError, match="'w' is larger than what is stored of it"):
        read_pth(path)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', bytes(10_000_000))
    with pytest.raises(CheckpointError, match='it is compressed, and has 10000000 bytes'):
        read_pth(path)
    torch.save({'w': torch.tensor([1.0, float('nan')])}, path)
    with pytest.raises(CheckpointError, match='not finite'):
        read_pth(path)


def test_import_of_a_file_that_is_none(tmp_path, capfd):
    os.mkfifo(tmp_path / 'pipe.pth')
    out = ['--out', tmp_path / 'new.safetensors']
    for name in ('pipe.pth', 'a' * 300, 'none.pth'):
        code, error = status(['import-mtlora', tmp_path / name, *out], capfd)
        assert code == 2
        assert 'cannot be read' in error


# YAML


@pytest.mark.parametrize(
    'text', [BOMB, 'a: &a [*a]', '[' * 20_000, 'a: \x00', 'tasks: {? [1] : 2}']
)
@pytest.mark.parametrize('verb', ['train', 'simulate-governor', 'evaluate-bag', 'adapt'])
def test_yaml_that_does_harm(verb, text, bag, tmp_path, capfd):
    path = tmp_path / 'evil.yaml'
    key = 'name' if verb in ('train', 'simulate-governor') else 'semseg'
    path.write_text(text.replace('KEY', key))
    code, error = status(
        {
            'train': ['train', '--config', path, '--out', tmp_path / 'run'],
            'simulate-governor': ['simulate-governor', path],
            'evaluate-bag': ['evaluate-bag', bag, '--classes', path, '--out', tmp_path / 'out'],
            'adapt': ['adapt', bag, '--classes', path, '--out', tmp_path / 'a.safetensors'],
        }[verb],
        capfd,
    )
    assert code == (1 if verb in ('train', 'simulate-governor') else 2)
    assert error.startswith(f'adamtl {verb}: {path}')
    assert len(error) < 1000


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (b'semseg: {0: [floor]}', 'is no class name'),
        (b'semseg: {0: null}', 'is no class name'),
        (b'semseg: {floor: 0}', "id 'floor' is not in 0..254"),
        (b'7: {0: floor}', 'class map for 7'),
        (b'\xff\xfe', 'is not YAML'),
        (b'- floor', "expected 'semseg:'"),
    ],
)
def test_class_maps_that_are_none(text, message, bag, tmp_path, capfd):
    path = tmp_path / 'classes.yaml'
    path.write_bytes(text)
    for verb in ('adapt', 'evaluate-bag'):
        code, error = status([verb, bag, '--classes', path, '--out', tmp_path / 'new'], capfd)
        assert code == 2
        assert message in error


# Bags


@pytest.mark.parametrize('name', ['metadata.yaml', 'room.mcap', 'extra'])
def test_a_pipe_in_the_folder_of_a_bag_is_not_waited_for(bag, tmp_path, name):
    """In a process of its own, which would hang."""
    copied = shutil.copytree(bag, tmp_path / 'room')
    (copied / name).unlink(missing_ok=True)
    os.mkfifo(copied / name)
    code = 'import sys; from adamtl_ros.commands.main import main; sys.exit(main(sys.argv[1:]))'
    done = subprocess.run(
        [sys.executable, '-c', code, 'calibrate', '--model', 'nano', '--bag', str(copied),
         '--out', str(tmp_path / 'new')],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f'{name}: no regular file' in done.stderr


def test_names_in_a_bag_do_not_reach_the_terminal(tmp_path):
    topic = '/x\x1b[31m' + 'y' * 5000
    path = bag_files.write(
        tmp_path / 'bag', [(1, topic, bag_files.camera_info(1.0, (1, 1), (2, 2)))]
    )
    from adamtl_ros.bags.reader import find_camera

    with pytest.raises(BagError) as error:
        find_camera(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 3000
    with open_bag(path):
        pass


def test_an_output_that_fails_costs_only_itself(bag, tmp_path, monkeypatch):
    """As times of 2^62 in the video: the numbers of the bag are there, and the issue is named."""

    class Failing(evaluation.Video):
        def add(self, frame, inference, cost):
            raise OverflowError(f'{2**62}')

    monkeypatch.setattr(evaluation, 'Video', Failing)
    monkeypatch.setattr(evaluation, 'remote_call', in_this_process)
    settings = EvaluationSettings(budgets=(1.0,), shown=1.0, out=tmp_path)
    result = evaluate_bag(bag, Engine(load_model('nano'), 'cpu'), settings)
    assert not result.failure
    assert result.frames == 3
    assert [one['what'] for one in result.issues.to_list()] == ['video.mp4 could not be written']
    assert (tmp_path / 'room' / 'predictions').is_dir()


class in_this_process:  # noqa: N801  stands for a function
    """`remote_call()` without a process, so that what it calls can be replaced."""

    def __init__(self, function, *arguments):
        self._function, self._arguments = function, arguments
        self._answers = []

    def __enter__(self):
        import queue
        import threading

        self._to, self._from = queue.Queue(), queue.Queue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        class Connection:
            send, recv = staticmethod(self._from.put), staticmethod(self._to.get)

        self.result = self._function(Connection, *self._arguments)
        self._from.put(None)

    def __iter__(self):
        return iter(self._from.get, None)

    def send(self, answer):
        """Hand an answer over."""
        self._to.put(answer)

    def __exit__(self, *_):
        self._thread.join(60)


def test_record_times_that_no_video_can_have(tmp_path):
    """The container of the video refuses a gap of 146 years."""
    black = np.zeros((48, 64, 3), np.uint8)
    times = (1, 2**62, 2**62 + 1_000_000_000)
    frames = [
        (time, '/camera/image', bag_files.image(number, black)) for number, time in enumerate(times)
    ]
    path = bag_files.write(tmp_path / 'bag', frames)
    settings = EvaluationSettings(budgets=(1.0,), shown=1.0, out=tmp_path / 'out')
    result = evaluate_bag(path, Engine(load_model('nano'), 'cpu'), settings)
    assert not result.failure
    assert result.frames == 3
    assert [one['what'] for one in result.issues.to_list()] == ['video.mp4 could not be written']


# Output


def test_a_full_disk_is_noticed_before_the_work(bag, tmp_path, monkeypatch, capfd):
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr('shutil.disk_usage', lambda _: usage)

    def work(*_):
        raise AssertionError('the images were read')

    monkeypatch.setattr('adamtl_ros.bags.reader.read_images', work)
    out = tmp_path / 'new.safetensors'
    arguments = ['calibrate', '--model', 'nano', '--bag', bag, '--out', out]
    code, error = status(arguments, capfd)
    assert code == 2
    assert 'MB are needed' in error
    assert not out.exists()


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_disk_that_fills_up_is_a_sentence(bag, capfd):
    code, error = status(
        ['calibrate', '--model', 'nano', '--bag', bag, '--images', '2', '--out', '/dev/full'], capfd
    )
    assert code == 2
    assert 'No space left' in error
