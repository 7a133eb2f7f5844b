# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Make the development environment: a virtual environment with ROS 2, and the built package.

Runs on the system's Python with nothing installed. `make` calls it.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
REQUIREMENTS = ROOT / 'requirements-dev.txt'
ROS_REQUIREMENTS = {
    path.stem.removeprefix('ros-'): path for path in sorted(ROOT.glob('requirements/ros-*.txt'))
}
TORCH_CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
PYTHONS = ((3, 11), (3, 13))
ROS_VARIABLES = ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'COLCON_PREFIX_PATH', 'PYTHONPATH',
                 'LD_LIBRARY_PATH', 'ROS_DISTRO')  # fmt: skip


def main() -> int:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('step', choices=('create', 'build'))
    parser.add_argument('--ros', default='jazzy', help=f'one of {", ".join(ROS_REQUIREMENTS)}')
    options = parser.parse_args()
    problem = missing(options.ros)
    if problem:
        print(f'make setup: {problem}', file=sys.stderr)
        return 1
    if options.step == 'create':
        create(options.ros)
    else:
        build()
    return 0


def missing(distribution: str) -> str:
    """Return one sentence on what is missing for an environment; empty if nothing."""
    if distribution not in ROS_REQUIREMENTS:
        known = ', '.join(ROS_REQUIREMENTS)
        return f'ROS={distribution} has no wheels; give make ROS= one of {known}.'
    version = sys.version_info[:2]
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        found = platform.python_version()
        return f'Python 3.11 to 3.13 is needed, {sys.executable} is {found}; give make PYTHON=...'
    if (platform.system(), platform.machine()) != ('Linux', 'x86_64'):
        return 'the ROS 2 wheels are for Linux on x86-64; elsewhere build in a ROS workspace.'
    for commands, package in ((('cmake',), 'cmake'), (('c++', 'g++', 'clang++'), 'g++'),
                              (('cc', 'gcc', 'clang'), 'gcc'), (('make',), 'make')):  # fmt: skip
        if not any(map(shutil.which, commands)):
            return f'{commands[0]} is missing; install it, say with apt-get install {package}.'
    if not (Path(sysconfig.get_path('include')) / 'Python.h').is_file():
        return "Python's headers are missing; install them, say with apt-get install python3-dev."
    return ''


def create(distribution: str) -> None:
    """Make .venv and install the pinned packages into it."""
    python = f'{platform.python_implementation()} {platform.python_version()}'
    say(f'making {VENV.name} with {python} and ROS 2 {distribution.capitalize()}')
    # A build is bound to the ROS distribution, too.
    for folder in (VENV, ROOT / 'build', ROOT / 'install'):
        shutil.rmtree(folder, ignore_errors=True)
    # The interpreter itself, should this be the one in .venv, which is gone by now.
    python = getattr(sys, '_base_executable', sys.executable)
    run([python, '-m', 'venv', VENV], dict(os.environ))
    # torch first: with it there, nothing that asks for torch brings another build of it.
    torch = re.search(r'^torch==\S+', REQUIREMENTS.read_text(), re.MULTILINE)
    assert torch is not None
    install_torch(torch[0])
    ros = ROS_REQUIREMENTS[distribution]
    say(f'installing {REQUIREMENTS.name} and {ros.relative_to(ROOT)}')
    install(['-r', str(REQUIREMENTS), '-r', str(ros)])
    repair_cmake_files()
    # colcon takes a prefix without such a file for a mistake, and warns.
    (VENV / 'local_setup.sh').write_text('')


def install(arguments: list[str]) -> None:
    """Install packages into .venv."""
    run(pip(arguments), ros_free_environment())


def pip(arguments: list[str]) -> list[str]:
    """Return the command that installs packages into .venv."""
    python = str(VENV / 'bin' / 'python')
    options = ['--quiet', '--disable-pip-version-check', '--retries', '2']
    return [python, '-m', 'pip', 'install', *options, *arguments]


def install_torch(pinned: str) -> None:
    """Install torch without CUDA, several GB less, from wherever there is such a build."""
    attempts = ([f'{pinned}+cpu'], [f'{pinned}+cpu', '--index-url', TORCH_CPU_INDEX])
    for attempt in attempts:
        say(f'installing {" ".join(attempt)}')
        if not subprocess.run(pip(attempt), env=ros_free_environment(), check=False).returncode:
            return
    say(f'no CPU build of {pinned} can be had; installing the default one')
    install([pinned])


def repair_cmake_files() -> None:
    """Point the ROS wheels at this Python; they name the paths of the machine that built them."""
    python = VENV / 'bin' / 'python'
    query = (
        'import numpy, sysconfig as s; print(s.get_path("include"), numpy.get_include(), sep="\\n")'
    )
    output = subprocess.check_output([python, '-c', query], text=True)
    python_headers, numpy_headers = output.splitlines()
    for path in VENV.glob('share/**/*.cmake'):
        text = path.read_text()
        fixed = re.sub(r'/opt/python/[^;"]*/numpy/_core/include', numpy_headers, text)
        fixed = re.sub(r'/opt/python/[^;"]*/include/python3[.\d]*', python_headers, fixed)
        if fixed != text:
            path.write_text(fixed)


def build() -> None:
    """Build the package, and a stand-in for vision_msgs, into install/."""
    say('building into install/')
    source = ROOT / 'build' / 'src' / 'adamtl_ros'
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_symlink():
        # CMake refuses include paths inside the source directory, and .venv lies in it; seen
        # through this link it does not.
        source.symlink_to(Path('..', '..'))
    command: list[str | Path] = [
        VENV / 'bin' / 'colcon', '--log-base', 'build/log', 'build', '--symlink-install',
        '--build-base', 'build', '--install-base', 'install',
        '--base-paths', source.relative_to(ROOT), 'test/interfaces/vision_msgs',
        '--event-handlers', 'console_direct-',
        '--cmake-args', '-DBUILD_TESTING=OFF',
    ]  # fmt: skip
    environment = ros_free_environment()
    environment['PATH'] = f'{VENV / "bin"}{os.pathsep}{environment["PATH"]}'
    for name in ('VIRTUAL_ENV', 'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH'):
        environment[name] = str(VENV)
    run(command, environment)


def ros_free_environment() -> dict[str, str]:
    """Return the environment without a ROS installation that may be sourced."""
    return {name: value for name, value in os.environ.items() if name not in ROS_VARIABLES}


def run(command: Sequence[str | Path], environment: dict[str, str]) -> None:
    """Run a command in the checkout; end with its status if it fails."""
    words = [str(word) for word in command]
    status = subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode
    if status:
        say(f'failed: {" ".join(words)}')
        sys.exit(status)


def say(text: str) -> None:
    """Print a line of progress."""
    print(f'make setup: {text}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
