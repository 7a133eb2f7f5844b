# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`adamtl run`: files of each kind, and the page in a real browser."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from helpers.browser import CHROMIUM, Browser

from adamtl_ros.commands.main import main
from adamtl_ros.data.synthetic import write_synthetic_bag

SMALL = ('--model', 'scenes_nano', '--device', 'cpu')


def write_pictures(folder, count, size=(48, 64)):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        small = rng.integers(0, 256, (4, 5, 3), np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'), cv2.resize(small, size[::-1]))
    return folder


def test_a_picture_becomes_a_picture(tmp_path, capsys):
    folder = write_pictures(tmp_path / 'in', 1)
    out = tmp_path / 'new' / 'out.png'
    assert main(['run', str(folder / '0.png'), '--out', str(out), *SMALL]) == 0
    assert cv2.imread(str(out)).shape[1] == 4 * 320
    assert re.search(r'1 images in .* 100% of the MACs', capsys.readouterr().out)


def test_a_folder_becomes_a_folder_and_a_broken_picture_is_said(tmp_path, capsys):
    folder = write_pictures(tmp_path / 'in', 3)
    (folder / '1.png').write_bytes(b'broken')
    arguments = ['--out', str(tmp_path / 'out'), '--tasks', 'depth,edges', '--budget', '0.5']
    assert main(['run', str(folder), *arguments, *SMALL]) == 0
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['0.png', '2.png']
    output = capsys.readouterr()
    assert f'left out: {folder / "1.png"} is no picture' in output.err
    share = int(re.search(r'(\d+)% of the MACs', output.out)[1])
    assert share < 100


def test_a_bag_becomes_a_video(tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=3)
    out = tmp_path / 'out.mp4'
    assert main(['run', str(tmp_path / 'room'), '--out', str(out), *SMALL]) == 0
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 3
    np.testing.assert_allclose([f.time for f in frames], [0, 1 / 15, 2 / 15], atol=2e-3)
    tile = frames[-1].to_ndarray(format='rgb24')[24:264, 320:640]
    assert tile.std() > 2


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (['gone.jpg'], "'gone.jpg': no such file or folder"),
        (['in', '--out', 'one.png'], 'one.png is one picture, but in has more images'),
        (['in', '--out', 'x.doc'], "unknown suffix '.doc' of x.doc, choose from: .mp4"),
        (['in', '--budget', '2', '--out', 'o'], 'budget must be a number from 0.01 to 1, got 2'),
        (['in', '--tasks', 'smell', '--out', 'o'], "unknown task 'smell'"),
        (['in', '--fov', '200', '--out', 'o'], 'the horizontal field of view must be'),
        (['in', '--rate', '-1', '--out', 'o'], '--rate takes a positive number'),
    ],
)
def test_errors_are_one_sentence(tmp_path, monkeypatch, capsys, arguments, problem):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / 'in', 2)
    assert main(['run', *arguments, *SMALL]) == 1
    assert problem in capsys.readouterr().err


def test_a_known_lens_scales_depth(tmp_path):
    """Depth of the same picture is proportional to the focal length of its camera."""
    from adamtl_ros.nn.io.checkpoint import load_model
    from adamtl_ros.runtime.engine import Engine
    from adamtl_ros.sources.find import open_source
    from adamtl_ros.view.server import LocalSettings
    from adamtl_ros.view.session import Runner

    folder = write_pictures(tmp_path / 'in', 1)
    engine = Engine(load_model(), 'cpu')
    settings = LocalSettings(engine.tasks, 1.0, ['depth'])
    depths = {}
    for fov in (0.0, 53.130102, 90.0):  # tan of the half: 0.5 and 1
        source = open_source(str(folder / '0.png'))
        source.fov_deg = fov
        (frame,) = source.frames()
        scene = Runner(engine, settings, source).run(frame)
        depths[fov] = scene.results['depth']
        assert (scene.calibration.width, scene.calibration.height) == (64, 48)
    ratio = depths[53.130102] / depths[90.0]
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-4)


LISTENING = """import signal, sys
from adamtl_ros.commands.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
"""The command, also where a shell in the background has Ctrl-C ignored, which is inherited."""


@pytest.fixture
def page(tmp_path):
    """Run the command on a picture, and open its page."""
    if not CHROMIUM:
        pytest.skip('needs Chromium')
    folder = write_pictures(tmp_path / 'in', 1, (240, 320))
    command = [sys.executable, '-c', LISTENING, 'run', folder / '0.png']
    command += ['--port', '0', '--fov', '60', *SMALL]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address = re.search(r'http://\S+', process.stdout.readline())[0]
    browser = Browser(address, tmp_path / 'profile')
    yield browser
    browser.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()


NUMBER = 'Number(document.body?.dataset.number ?? 0)'
MOVE_SLIDER = """(() => {
  const slider = document.getElementById('budget');
  slider.value = 0.4;
  slider.dispatchEvent(new Event('input'));
  slider.dispatchEvent(new Event('change'));
})()"""
HIDDEN = '[...document.querySelectorAll("#tiles figure[hidden]")].map((f) => f.dataset.name)'


@pytest.mark.timeout(300)
def test_the_page_shows_results_and_its_slider_sets_the_budget(page, tmp_path):
    page.until(f'{NUMBER} > 0')
    shown = page.evaluate('[...document.querySelectorAll("#tiles img")].map((i) => i.alt)')
    tasks = ['semseg', 'human_parts', 'normals', 'saliency', 'depth', 'edges']
    assert shown == ['camera', *tasks]
    sizes = page.evaluate('[...document.querySelectorAll("img")].map((i) => i.naturalWidth)')
    assert sizes == [320] * 8
    assert page.evaluate('cloud.count') > 1000
    spent = 'document.querySelector("#numbers div:nth-child(2) b").textContent'
    assert page.evaluate(spent) == '100 %'
    before = page.evaluate(NUMBER)
    page.evaluate(MOVE_SLIDER)
    page.until(f'{NUMBER} > {before}')
    assert int(page.evaluate(spent).removesuffix(' %')) <= 50
    # Without depth there are no points; the other tasks stay.
    before = page.evaluate(NUMBER)
    page.evaluate('document.querySelectorAll("#tasks input")[4].click()')
    page.until(f'{NUMBER} > {before}')
    assert page.evaluate('document.getElementById("points-figure").hidden')
    assert page.evaluate(HIDDEN) == ['depth']
    page.screenshot(tmp_path / 'page.png')
    picture = cv2.imread(str(tmp_path / 'page.png'))
    assert picture.shape == (1000, 1400, 3)
    assert picture.std() > 20
    assert page.errors == []


def test_help_names_every_kind_of_input(capsys):
    with pytest.raises(SystemExit):
        main(['run', '--help'])
    text = capsys.readouterr().out
    assert all(word in text for word in ('picture', 'folder', 'video', 'bag', 'webcam', 'rtsp'))


def test_the_page_is_part_of_the_package():
    import adamtl_ros.view.server as module

    assert Path(module.__file__).parent / 'page.html' == module.PAGE
    assert module.PAGE.is_file()
