# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""README, docs and other pages against the code: tables, links, commands, names and code blocks."""

import ast
import dataclasses
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from adamtl_ros.commands.main import VERBS, _parser
from adamtl_ros.governor.governor import GovernorSettings
from adamtl_ros.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (*sorted(ROOT.glob('*.md')), *sorted(ROOT.glob('docs/*.md')))
}
README, MOST_LINES = PAGES['README.md'], 180


def table(heading):
    """Return the rows of the first table under a heading of docs/ros.md, without markup."""
    section = PAGES['docs/ros.md'].split(f'\n## {heading}\n')[1].split('\n## ')[0]
    rows = [line for line in section.splitlines() if line.startswith('|')]
    cells = [[cell.strip() for cell in row.strip('|').split('|')] for row in rows[2:]]
    return [[cell.replace('`', '') for cell in row] for row in cells]


def launch_arguments(file):
    """Return names and defaults of the arguments of a launch file, read from the source."""
    tree = ast.parse((ROOT / 'launch' / file).read_text())
    found = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'DeclareLaunchArgument':
            defaults = [k.value for k in call.keywords if k.arg == 'default_value']
            default = getattr(defaults[0], 'value', None) if defaults else 'required'
            found[getattr(call.args[0], 'value', None)] = default
    return found


@pytest.mark.parametrize(
    ('file', 'heading'),
    [
        ('perception.launch.py', 'Launch arguments'),
        ('replay.launch.py', 'Launch arguments of the replay'),
    ],
)
def test_launch_arguments(file, heading):
    rows, arguments = table(heading), launch_arguments(file)
    assert [row[0] for row in rows] == list(arguments)
    for name, default, *_ in rows:
        expected = arguments[name]
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


def test_the_governor_has_the_defaults_of_the_node():
    """Its settings classes serve the simulation, the file the node."""
    source = yaml.safe_load((ROOT / 'config' / 'perception.yaml').read_text())
    parameters = source['/**']['ros__parameters']
    settings = dataclasses.asdict(GovernorSettings())
    limiters = {name: settings.pop(name) for name in ('battery', 'thermal', 'deadline')}
    assert settings == parameters['governor']
    assert limiters['battery'] == parameters['battery']
    inputs = {'zone': '', 'diagnostics': False}  # of the node
    assert limiters['thermal'] | inputs == parameters['thermal']
    assert limiters['deadline'].pop('deadline_ms') == parameters['deadline_ms']
    assert limiters['deadline'] == parameters['deadline']


def test_the_readme_is_short():
    assert len(README.splitlines()) <= MOST_LINES


@pytest.mark.parametrize('page', PAGES)
def test_make_targets_exist(page):
    makefile = (ROOT / 'Makefile').read_text()
    for target in set(re.findall(r'(?:`|^)make (\w+)', PAGES[page], re.MULTILINE)):
        # A rule may have several targets.
        assert re.search(rf'^(\w+ )*{target}( \w+)*:', makefile, re.MULTILINE), target


@pytest.mark.parametrize('page', PAGES)
def test_linked_files_and_anchors_exist(page):
    folder = (ROOT / page).parent
    for link in re.findall(r'\]\(([^)]+)\)', PAGES[page]):
        name, _, anchor = link.partition('#')
        target = folder / name if name else ROOT / page
        assert target.exists(), link
        if page.startswith('docs/'):  # the site has the pages of docs/ only
            assert target.resolve().is_relative_to(ROOT / 'docs'), link
        headings = re.findall(r'^#+ (.*)', target.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(slug, headings), link


def slug(heading):
    """Return the anchor of a heading, as GitHub and mkdocs make it."""
    return re.sub(r'[^\w\- ]', '', heading.lower()).strip().replace(' ', '-')


def commands(text):
    """Return the command lines in code blocks and in inline code, without comments."""
    blocks = re.findall(r'^```(\w*)\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    shell = [block for language, block in blocks if language in ('', 'bash')]
    lines = [line for block in shell for line in block.splitlines()]
    inline = re.findall(r'(?<!`)`((?:adamtl|python) [^`]*)`', text.replace('\n', ' '))
    joined = ' && '.join(re.sub(r'\s+#.*', '', line) for line in lines + inline)
    return [line.strip() for line in joined.split('&&')]


@pytest.mark.parametrize('page', PAGES)
def test_adamtl_understands_its_commands(page):
    for command in commands(PAGES[page]):
        line = re.sub(r'^torchrun .* --no-python (?=adamtl)', '', command)
        program, *words = shlex.split(line) or ['']
        # `adamtl evaluate --adapter` names an option, `adamtl train --config ...` leaves it open.
        if program == 'adamtl' and len(words) > 2 and words[-1] != '...':
            assert _parser(words[0]).parse_args(words).run, line
        elif program == 'adamtl':
            assert words[0] in VERBS, line


@pytest.mark.parametrize('page', PAGES)
def test_scripts_and_modules_of_commands_exist(page):
    for line in commands(PAGES[page]):
        if module := re.match(r'python -m adamtl_ros\.(\S+)', line):
            assert (ROOT / 'adamtl_ros' / f'{module[1].replace(".", "/")}.py').is_file(), line
        elif script := re.match(r'python (?!install/)(\S+\.py)', line):
            assert (ROOT / script[1]).is_file(), line


@pytest.mark.parametrize('page', PAGES)
def test_selections_of_tests_select_something(page):
    for path, word in re.findall(r'^pytest (\S+)(?: -k (\w+))?', PAGES[page], re.MULTILINE):
        assert (ROOT / path).exists(), path
        assert not word or re.search(rf'def test_\w*{word}', (ROOT / path).read_text()), word


@pytest.mark.parametrize('page', PAGES)
def test_named_files_exist(page):
    """Paths in code style, below the checkout or below the package."""
    for name in re.findall(r'`([\w/]+/[\w./]*\w\.(?:py|yaml|xml|md|bash))`', PAGES[page]):
        assert (ROOT / name).is_file() or (ROOT / 'adamtl_ros' / name).is_file(), name


def test_the_paths_through_the_code_name_what_is_there():
    """Each step names files, and names that are in one of them."""
    paths = PAGES['docs/architecture.md'].split('\n## Three paths through the code\n')[1]
    steps = re.split(r'^\d+\. ', paths, flags=re.MULTILINE)[1:]
    assert len(steps) >= 15
    for step in steps:
        names = re.findall(r'`([^`]+)`', step.split('\n###')[0])
        files = [name for name in names if name.endswith('.py')]
        source = '\n'.join((ROOT / 'adamtl_ros' / name).read_text() for name in files)
        for name in set(names) - set(files):
            parts = re.findall(r'\w+', name)
            if not name.endswith('/'):
                assert all(re.search(rf'\b{part}\b', source) for part in parts), (name, files)


def test_the_tree_is_complete():
    tree = PAGES['docs/architecture.md'].split('\n## The tree\n')[1].split('```')[1]
    for path in (ROOT / 'adamtl_ros').iterdir():
        if path.is_dir() and (path / '__init__.py').is_file():
            assert f'\n  {path.name}/' in tree, path.name


def imports_of(package):
    """Return the other packages of adamtl_ros that a package imports, also for typing only."""
    found = set()
    for path in (ROOT / 'adamtl_ros' / package).rglob('*.py'):
        for name in re.findall(r'from adamtl_ros\.(\w+)', path.read_text()):
            if (ROOT / 'adamtl_ros' / name / '__init__.py').is_file():
                found.add(name)
    return found - {package}


def test_imports_point_the_documented_way():
    section = PAGES['docs/architecture.md'].split('\nImports point one way:\n')[1]
    arrows = dict(re.findall(r'^(\w+) +-> (.*)$', section, re.MULTILINE))
    order = list(arrows)
    for path in (ROOT / 'adamtl_ros').glob('*/__init__.py'):
        package = path.parent.name
        allowed = set(re.findall(r'\w+', arrows.get(package, '')))
        assert imports_of(package) <= allowed, package
        assert not allowed & set(order[: order.index(package) + 1] if allowed else [])


@pytest.mark.parametrize('page', ['README.md', 'docs/architecture.md'])
def test_python_blocks_run(page):
    code = '\n'.join(re.findall(r'^```python\n(.*?)^```', PAGES[page], re.MULTILINE | re.DOTALL))
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    result = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_the_worked_example_of_photographs_trains(tmp_path, monkeypatch):
    """Files are made in the documented layout; the recipe runs as it stands, with fewer steps."""
    section = PAGES['docs/training.md'].split('\n### Your own photographs\n')[1].split('\n### ')[0]
    blocks = re.findall(r'^```yaml\n# (\S+)\n(.*?)^```', section, re.MULTILINE | re.DOTALL)
    files = dict(blocks)
    assert list(files) == ['kitchen/classes.yaml', 'kitchen.yaml']
    monkeypatch.chdir(tmp_path)
    for folder in ('kitchen', 'street'):
        write_photographs(tmp_path / folder, 23)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / 'street/classes.yaml').write_text('semseg: [road, car, house, tree]')
    changes = [
        *(
            f'--set=stages.{stage}.{entry}'
            for stage in range(3)
            for entry in ('steps=1', 'batch=4', 'size=[64,96]')
        ),
        *('--set=combinations=false', '--set=calibration_images=2', '--set=precision=32-true'),
    ]
    lines = [line for line in commands(section) if line.startswith('adamtl')]
    assert [line.split()[1] for line in lines] == ['train', 'evaluate']
    for line in lines:
        words = shlex.split(line)[1:]
        options = _parser(words[0]).parse_args([*words, *changes])
        options.run(options)
    assert (tmp_path / 'runs/kitchen/model.safetensors').is_file()


def write_photographs(root, count):
    """Write a folder of noise as the documentation describes it."""
    rng = np.random.default_rng(0)
    for folder in ('images', 'splits', 'semseg', 'depth', 'saliency'):
        (root / folder).mkdir(parents=True)
    names = [f'{number:04}' for number in range(count)]
    (root / 'splits/train.txt').write_text('\n'.join(names))
    for name in names:
        cv2.imwrite(str(root / f'images/{name}.jpg'), rng.integers(0, 256, (48, 64, 3), np.uint8))
        ids = rng.choice(np.uint8([0, 1, 2, 3, 255]), (48, 64))
        cv2.imwrite(str(root / f'semseg/{name}.png'), ids)
        meters = rng.integers(0, 5000, (24, 32), np.uint16)
        cv2.imwrite(str(root / f'depth/{name}.png'), meters)
        cv2.imwrite(str(root / f'saliency/{name}.png'), rng.integers(0, 256, (48, 64), np.uint8))


def test_other_python_blocks_compile():
    for page, text in PAGES.items():
        for code in re.findall(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL):
            compile(code, page, 'exec')


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / 'mkdocs.yml').read_text()
    for path in ROOT.glob('docs/*.md'):
        assert f': {path.name}\n' in navigation, path.name


ROSDEP = {
    'cv2': 'python3-opencv', 'numpy': 'python3-numpy', 'torch': 'python3-torch',
    'yaml': 'python3-yaml', 'scipy': 'python3-scipy', 'PIL': 'python3-pil',
    'jinja2': 'python3-jinja2',
}  # fmt: skip
BY_PIP = {
    'rosbags', 'safetensors', 'av', 'lightning_fabric', 'matplotlib', 'numba', 'ray', 'simplejpeg',
    'tqdm',
}  # fmt: skip


def test_manifest_names_every_import():
    """package.xml names what the package imports, except for the pip packages."""
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
    assert not re.findall(r'\b(?:NUMBERS|TODO|FIXME|XXX)\b', ''.join(PAGES.values()))


def test_versions_agree():
    import adamtl_ros

    manifest = (ROOT / 'package.xml').read_text()
    assert f'<version>{adamtl_ros.__version__}</version>' in manifest
