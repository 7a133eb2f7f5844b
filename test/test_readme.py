# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The README's tables against the code."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
import yaml

from adamtl_ros.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / 'README.md').read_text()


def table(heading):
    """Return the rows of the first table under a heading, without markup."""
    section = README.split(f'\n## {heading}\n')[1].split('\n## ')[0]
    rows = [line for line in section.splitlines() if line.startswith('|')]
    cells = [[cell.strip() for cell in row.strip('|').split('|')] for row in rows[2:]]
    return [[cell.replace('`', '') for cell in row] for row in cells]


def launch_arguments():
    """Return names and defaults of the launch arguments, read from the source."""
    tree = ast.parse((ROOT / 'launch' / 'perception.launch.py').read_text())
    found = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'DeclareLaunchArgument':
            default = next(k.value for k in call.keywords if k.arg == 'default_value')
            found[call.args[0].value] = getattr(default, 'value', None)
    return found


def test_launch_arguments():
    rows = table('Launch arguments')
    assert [row[0] for row in rows] == list(launch_arguments())
    for name, default, *_ in rows:
        expected = launch_arguments()[name]
        if isinstance(expected, str):
            assert default == expected


def test_parameters():
    parameters = pytest.importorskip('adamtl_ros.ros.parameters', reason='needs ROS 2')
    specs = importlib.import_module('adamtl_ros.ros.parameters')
    defaults = parameters.default_values()
    rows = table('Parameters')
    assert [row[0] for row in rows] == [spec.name for spec in specs.SPECS]
    for spec, (_, default, span, live, meaning) in zip(specs.SPECS, rows, strict=True):
        assert yaml.safe_load(default) == defaults[spec.name]
        assert meaning == spec.description
        assert live == ('yes' if spec.live else '')
        if spec.low is not None:
            assert span == f'{spec.low} to {spec.high}'
        elif spec.name in specs.CHOICES:
            assert span == ', '.join(specs.CHOICES[spec.name])
        else:
            assert not span


def test_results_and_their_encodings():
    rows = {row[0]: row for row in table('Topics')}
    for name, task in TASKS.items():
        assert rows[f'~/{name}/image'][2].startswith(task.encoding)


def test_installed_defaults_are_those_of_the_source():
    specs = pytest.importorskip('adamtl_ros.ros.parameters', reason='needs ROS 2')
    source = yaml.safe_load((ROOT / 'config' / 'perception.yaml').read_text())
    assert specs.flatten(source['/**']['ros__parameters']) == specs.default_values()


def test_commands_exist():
    makefile = (ROOT / 'Makefile').read_text()
    for target in set(re.findall(r'`?make (\w+)', README)):
        # A rule may have several targets.
        assert re.search(rf'^(\w+ )*{target}( \w+)*:', makefile, re.MULTILINE), target


def test_linked_files_exist():
    for link in re.findall(r'\]\(([^)#]+)\)', README):
        assert (ROOT / link).exists(), link


ROSDEP = {
    'cv2': 'python3-opencv', 'numpy': 'python3-numpy', 'torch': 'python3-torch',
    'yaml': 'python3-yaml', 'scipy': 'python3-scipy', 'PIL': 'python3-pil',
    'jinja2': 'python3-jinja2',
}  # fmt: skip
BY_PIP = {
    'rosbags', 'safetensors', 'av', 'lightning_fabric', 'matplotlib', 'numba', 'ray', 'tqdm',
}  # fmt: skip


def test_manifest_names_every_import():
    """package.xml names what the package imports, or the README the pip packages."""
    manifest = (ROOT / 'package.xml').read_text()
    sources = [*ROOT.glob('adamtl_ros/**/*.py'), *ROOT.glob('launch/*.py')]
    imported = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split('.')[0])
    foreign = imported - set(sys.stdlib_module_names) - {'adamtl_ros'}
    assert {'rclpy', 'rosbags', 'vision_msgs', 'launch_ros', 'torch'} <= foreign
    for name in foreign - BY_PIP:
        assert f'depend>{ROSDEP.get(name, name)}<' in manifest, name


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r'\b(?:NUMBERS|TODO|FIXME|XXX)\b', README)


def test_versions_agree():
    import adamtl_ros

    manifest = (ROOT / 'package.xml').read_text()
    assert f'<version>{adamtl_ros.__version__}</version>' in manifest
