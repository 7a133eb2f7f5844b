# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whole demo: real processes, real DDS, real bags where available."""

import csv
import math
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from helpers.permissions import check_permissions
from rosbags.highlevel import AnyReader

from adamtl_ros.commands.main import main
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.demo.device import BUDGETS
from adamtl_ros.demo.main import MARKER_FILE, RESULTS
from adamtl_ros.nn.gating.calibration import frame_limit
from adamtl_ros.tasks import TASKS

pytestmark = pytest.mark.usefixtures('own_domain')
BAGS = Path('../shared/bags').resolve()
TOPICS = [f'/demo/adamtl/{name}/image' for name in TASKS]


def run_demo(out, *arguments):
    assert main(['demo', '--out', str(out), *arguments]) == 0
    with AnyReader([out / 'bag']) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        stamps = {}
        for connection, _, raw in reader.messages():
            if connection.topic in TOPICS:
                header = reader.deserialize(raw, connection.msgtype).header
                stamps.setdefault(connection.topic, []).append(
                    (header.stamp.sec, header.stamp.nanosec)
                )
    with (out / 'compute_stats.csv').open(newline='') as file:
        rows = [row for row in csv.DictReader(file) if row['tasks']]
    return counts, stamps, rows


def check_bag(counts, stamps, rows):
    """Check that processed frames have results on all six topics, with equal stamps.

    On a busy machine a later frame may overwrite one that is still to be sent.
    """
    complete = set.intersection(*(set(stamps[topic]) for topic in TOPICS))
    assert len(rows) >= len(complete) >= 0.5 * len(rows) > 0
    assert counts['/demo/adamtl/compute_stats'] >= len(rows)
    assert counts['/diagnostics'] > 0
    assert counts['/demo/adamtl/depth/camera_info'] > 0


@pytest.mark.timeout(600)
def test_synthetic_room_at_half_budget(tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=30)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / MARKER_FILE).touch()
    (tmp_path / 'out' / 'keep.txt').write_text("not the demo's")
    (tmp_path / 'out' / 'summary.txt').write_text('old')
    counts, stamps, rows = run_demo(
        tmp_path / 'out', '--bag', str(tmp_path / 'room'), '-p', 'budget:=0.5'
    )
    check_bag(counts, stamps, rows)
    most = frame_limit(0.5)
    assert all(float(row['macs']) <= most * float(row['macs_full']) for row in rows)
    assert all(float(row['requested_budget']) == 0.5 for row in rows)
    made = {path.name for path in (tmp_path / 'out').iterdir()}
    assert made == {*RESULTS, MARKER_FILE, 'keep.txt'}
    check_permissions(tmp_path / 'out')
    assert '% of full' in (tmp_path / 'out' / 'summary.txt').read_text()
    assert min(cv2.imread(str(tmp_path / 'out' / 'plot.png')).shape[:2]) > 500
    check_video(tmp_path / 'out' / 'demo.mp4', 30)
    sheet = cv2.imread(str(tmp_path / 'out' / 'sheet.png')).astype(int)
    assert sheet.shape[1:] == (7 * 192, 3)
    assert 5 * 158 + 20 < sheet.shape[0] <= 5 * 158 + 102
    # The last row is the last moment: every picture in it shows something.
    tiles = np.split(sheet[650:790], 7, 1)
    assert all(tile.std() > 2 for k, tile in enumerate(tiles) if k != 2)  # human parts
    blank, *legends = np.split(sheet[790:], 7, 1)
    assert blank.std() == 0
    assert all(one.std() > 2 for one in legends)


def check_video(path, frames):
    with av.open(str(path)) as container:
        pictures = [f.to_ndarray(format='rgb24') for f in container.decode(video=0)]
    assert len(pictures) == frames
    last = pictures[-1].astype(int)
    assert last.shape == (636, 1280, 3)
    # Every task's tile shows something: it varies and differs from the next one. Human parts (the
    # third) may be black where the network finds nobody.
    tiles = [last[r : r + 240, c : c + 320] for r in (24, 342) for c in range(0, 1280, 320)]
    assert all(tile.std() > 2 for k, tile in enumerate(tiles) if k != 2)
    assert all(np.abs(tiles[i] - tiles[i + 1]).mean() > 5 for i in range(len(tiles) - 1))


@pytest.mark.timeout(600)
@pytest.mark.skipif(not BAGS.is_dir(), reason='needs ../shared/bags')
@pytest.mark.parametrize(('bag', 'frames'), [('street_semseg', 24), ('indoor_rgbd', 180)])
def test_real_camera(tmp_path, bag, frames):
    """Raw images from SQLite3 at 15 Hz, and JPEG from MCAP at 30 Hz."""
    counts, stamps, rows = run_demo(tmp_path / 'out', '--bag', str(BAGS / bag))
    check_bag(counts, stamps, rows)
    last = rows[-1]
    # Best effort on the way in: a busy machine loses some, but not without a count.
    received = int(last['frames_received'])
    assert len(rows) <= received <= frames
    assert int(last['frames_refused']) == 0
    accounted = int(last['frames_processed']) + int(last['frames_dropped'])
    assert abs(received - accounted) <= 1
    # The budget goes down in steps while the bag plays, and the network follows it.
    budgets = [float(row['requested_budget']) for row in rows]
    assert set(budgets) <= set(BUDGETS)
    assert len(set(budgets)) > 1
    assert budgets == sorted(budgets, reverse=True)
    for row in rows:
        fraction = float(row['macs']) / float(row['macs_full'])
        assert fraction <= frame_limit(float(row['requested_budget'])) + 1e-6
        assert fraction == 1 or float(row['requested_budget']) < 1
    summary = (tmp_path / 'out' / 'summary.txt').read_text()
    assert all(f'budget {value:<5.3g}' in summary for value in set(budgets))
    counted = re.search(r'(\d+) sent, (\d+) received \((\d+) lost on the way\)', summary)
    sent, arrived, lost = map(int, counted.groups())
    assert sent == frames == arrived + lost
    assert arrived >= received


def test_errors_are_one_sentence(tmp_path, capsys):
    assert main(['demo', '--out', str(tmp_path), '--bag', str(tmp_path / 'no.mcap')]) == 1
    assert 'no.mcap: no such file or folder' in capsys.readouterr().err
    assert main(['demo', '--out', str(tmp_path), '-p', 'budget=1']) == 1
    assert "-p takes NAME:=VALUE, got 'budget=1'" in capsys.readouterr().err
    assert main(['demo', '--out', str(tmp_path), '-p', 'bugdet:=1']) == 1
    assert "unknown parameter 'bugdet', choose from: autostart, model" in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_some_tasks_only(tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=8)
    arguments = ['--bag', str(tmp_path / 'room'), '-p', 'tasks:=[edges, depth]', '--color']
    counts, stamps, rows = run_demo(tmp_path / 'out', *arguments)
    assert {row['tasks'] for row in rows} == {'depth edges'} or {row['tasks'] for row in rows} == {
        'edges depth'
    }
    assert set(stamps) == {'/demo/adamtl/edges/image', '/demo/adamtl/depth/image'}
    assert counts['/demo/adamtl/edges/color'] > 0
    summary = (tmp_path / 'out' / 'summary.txt').read_text()
    complete = re.search(rf'(\d+) of {len(rows)} processed frames', summary)
    assert 0 < int(complete[1]) <= len(rows)


SCENARIO = """
name: a battery that runs out
hours: 1
device: {idle_w: 5, frame_j: 0.2, battery_wh: 6, heat_c_per_w: 1}
governor: {battery: {high: 0.9, low: 0.1, floor_budget: 0.3}}
"""


def line(charge):
    """Return the limit of the scenario's battery at a charge."""
    return min(1.0, max(0.3, 0.3 + 0.7 * (charge - 0.1) / 0.8))


@pytest.mark.timeout(600)
def test_the_budget_follows_a_simulated_battery(tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=40)
    (tmp_path / 'scenario.yaml').write_text(SCENARIO)
    arguments = ['--bag', str(tmp_path / 'room'), '--scenario', str(tmp_path / 'scenario.yaml')]
    _, _, rows = run_demo(tmp_path / 'out', *arguments)
    assert {row['limit_reason'] for row in rows} <= {'USER', 'BATTERY'}
    charges = [float(row['battery']) for row in rows]
    # How far the battery is in the first and in the last frame depends on how fast the node is.
    # The charge of a frame is that of its end, its budget was set after the end of the one before.
    known = [number for number, row in enumerate(rows) if row['limit_reason'] == 'BATTERY']
    assert known
    for number in known:
        budget = float(rows[number]['battery_budget'])
        assert budget >= line(charges[number]) - 1e-3
        assert (
            not number
            or math.isnan(charges[number - 1])
            or (budget <= line(charges[number - 1]) + 1e-3)
        )
        # The governor follows the battery down at a rate, so it may lag behind it.
        spent = float(rows[number]['effective_budget'])
        assert budget - 1e-3 <= spent < 1
        fraction = float(rows[number]['macs']) / float(rows[number]['macs_full'])
        assert fraction <= frame_limit(spent) + 1e-6
    falling = [charge for charge in charges if not math.isnan(charge)]
    assert falling == sorted(falling, reverse=True)
    assert {float(row['requested_budget']) for row in rows} == {1.0}
    # Two panels more, for charge and heat.
    assert cv2.imread(str(tmp_path / 'out' / 'plot.png')).shape[0] > 1200


def test_other_recordings_are_not_overwritten(tmp_path, capsys):
    write_synthetic_bag(tmp_path / 'bag', frames=2)
    assert main(['demo', '--out', str(tmp_path), '--bag', str(tmp_path / 'bag')]) == 1
    assert 'choose another OUT' in capsys.readouterr().err
    write_synthetic_bag(tmp_path / 'room', frames=2)
    assert main(['demo', '--out', str(tmp_path), '--bag', str(tmp_path / 'room')]) == 1
    assert 'holds bag, which no demo made' in capsys.readouterr().err
    assert (tmp_path / 'bag' / 'metadata.yaml').is_file()


@pytest.mark.timeout(600)
def test_a_missing_model_is_reported_at_once(tmp_path, capsys):
    write_synthetic_bag(tmp_path / 'room', frames=2)
    arguments = ['--bag', str(tmp_path / 'room'), '-p', 'model:=/nowhere.safetensors']
    assert main(['demo', '--out', str(tmp_path / 'out'), *arguments]) == 1
    assert "Cannot configure: model '/nowhere.safetensors'" in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_node_that_cannot_start_is_reported(tmp_path, capsys):
    write_synthetic_bag(tmp_path / 'room', frames=2)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / MARKER_FILE).touch()
    (tmp_path / 'out' / 'summary.txt').write_text('of an earlier run')
    arguments = ['--bag', str(tmp_path / 'room'), '-p', 'budget:=9.0']
    assert main(['demo', '--out', str(tmp_path / 'out'), *arguments]) == 1
    assert 'must lie in [0.01, 1.0], got 9.0' in capsys.readouterr().err
    assert (tmp_path / 'out' / 'summary.txt').read_text() == 'of an earlier run'
    assert not (tmp_path / 'out' / '.running' / 'spool').exists()
