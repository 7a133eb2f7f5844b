# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The package as it is found and imported: messages, and the public names."""

import subprocess
import sys
from pathlib import Path

import pytest

import adamtl_ros

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ('torch', 'cv2', 'numpy', 'safetensors', 'rclpy')


def in_new_process(code):
    """Return what a statement prints in a Python that has imported nothing yet."""
    return subprocess.check_output([sys.executable, '-c', code], text=True, cwd=ROOT).strip()


def test_messages_are_found_from_within_the_checkout():
    """There the source folder comes before the installed package."""
    pytest.importorskip('adamtl_ros.msg', reason='needs the built messages of adamtl_ros')
    code = 'import adamtl_ros; from adamtl_ros.msg import ComputeStats; print(adamtl_ros.__file__)'
    assert Path(in_new_process(code)) == ROOT / 'adamtl_ros' / '__init__.py'


@pytest.mark.parametrize('name', [name for name in adamtl_ros.__all__ if name != '__version__'])
def test_public_names_are_those_of_their_modules(name):
    value = getattr(adamtl_ros, name)
    if hasattr(value, '__module__'):  # a table has none
        assert value is getattr(sys.modules[value.__module__], name)
    assert name in dir(adamtl_ros)


def test_importing_the_package_is_cheap():
    code = f'import sys, adamtl_ros; print([x for x in {HEAVY} if x in sys.modules])'
    assert in_new_process(code) == '[]'


def test_the_task_table_needs_no_torch():
    code = 'import sys; from adamtl_ros import TASKS, Sample; print("torch" in sys.modules)'
    assert in_new_process(code) == 'False'


def test_all_names_can_be_imported_at_once():
    code = 'from adamtl_ros import *; print(load_model.__name__, Engine.__name__, __version__)'
    assert in_new_process(code) == f'load_model Engine {adamtl_ros.__version__}'


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'adamtl_ros' has no attribute 'predict'"):
        _ = adamtl_ros.predict  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match='cannot import name'):
        from adamtl_ros import predict  # type: ignore[attr-defined]  # noqa: F401


def test_type_checkers_know_the_public_names(tmp_path):
    pytest.importorskip('mypy', reason='needs mypy')
    (tmp_path / 'user.py').write_text(
        'from adamtl_ros import Engine, load_model\n'
        "reveal_type(Engine(load_model('indoor_lite0')).run)\n"
        'import adamtl_ros\n'
        'adamtl_ros.predict\n'
    )
    command = [sys.executable, '-m', 'mypy', '--config-file', ROOT / 'pyproject.toml']
    cache = ['--cache-dir', ROOT / '.mypy_cache']
    result = subprocess.run(
        [*command, *cache, tmp_path / 'user.py'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Inference' in result.stdout
    assert 'Module has no attribute "predict"' in result.stdout
