# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The development environment that `make setup` builds, and its requirement files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / '.venv' / 'bin' / 'python'
INSTALLED = PYTHON.is_file() and (ROOT / 'install' / 'local_setup.bash').is_file()
DISTRIBUTIONS = ('jazzy', 'kilted')


def requirements(path):
    """Return the lines of a requirement file that name a package."""
    lines = (re.sub(r'\s*#.*', '', line) for line in path.read_text().splitlines())
    return [line for line in lines if line]


@pytest.mark.skipif(not INSTALLED, reason='needs .venv and install/ of make setup')
def test_activation_below_a_python_with_ros():
    """A terminal in Jupyter or an IDE inherits the variables of the Python that started it."""
    shell = 'source tools/activate.bash && python -c "import rclpy, adamtl_ros.msg"'
    parent = f'import rclpy, subprocess; subprocess.run(["bash", "-c", {shell!r}], check=True)'
    subprocess.run([PYTHON, '-c', parent], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize('distribution', DISTRIBUTIONS)
def test_requirements_are_pinned(distribution):
    paths = (ROOT / 'requirements-dev.txt', ROOT / 'requirements' / f'ros-{distribution}.txt')
    lines = [line for path in paths for line in requirements(path)]
    assert all(re.fullmatch(r'[\w.-]+(\[[\w,]+\])?==[\w.]+', line) for line in lines)
    names = [re.split(r'[\[=]', line)[0].lower() for line in lines]
    assert len(names) == len(set(names))


def test_dependencies_of_the_package_are_pinned():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    lists = [project['dependencies'], *project['optional-dependencies'].values()]
    needed = {re.split(r'[\[<>=]', item)[0].lower() for items in lists for item in items}
    pinned = {
        re.split(r'[\[=]', line)[0].lower() for line in requirements(ROOT / 'requirements-dev.txt')
    }
    assert needed - pinned == {'adamtl_ros', 'opencv-python'}
    assert 'opencv-python-headless' in pinned  # the same modules, without windows


def test_unknown_ros_distribution():
    command = [sys.executable, 'tools/environment.py', 'create', '--ros', 'lyrical']
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        'make setup: ROS=lyrical has no wheels; give make ROS= one of jazzy, kilted.\n'
    )
