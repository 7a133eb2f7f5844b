# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recipes: what can be written, what is refused, and what the message says."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.swin.architecture import ARCHITECTURES
from adamtl_ros.tasks import TASKS
from adamtl_ros.training.recipe import KINDS, DataConfig, Recipe, RecipeError, Stage, read_recipe

SHIPPED = sorted((Path(__file__).parents[2] / 'config' / 'train').glob('*.yaml'))
LEAST = {
    'name': 'least',
    'data': {'kind': 'scenes', 'options': {'scenes': 1}},
    'validation': {'kind': 'nyud', 'root': '/data', 'split': 'val'},
    'stages': [{'kind': 'static', 'steps': 3}, {'kind': 'joint', 'steps': 5, 'size': [64, 96]}],
}


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a recipe from entries and changes."""

    def read(changes=None, **entries):
        path = tmp_path / 'recipe.yaml'
        path.write_text(yaml.safe_dump({**LEAST, **entries}))
        return read_recipe(path, changes)

    return read


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_recipes_that_ship_can_be_read(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.architecture in ARCHITECTURES


def test_there_are_recipes_that_ship():
    assert SHIPPED


def test_entries_become_records_and_the_rest_has_defaults(read):
    recipe = read(policy={'gates': ['blocks'], 'narrow': 0.25}, augmentation={'scale': [1, 2]})
    assert recipe.data == DataConfig('scenes', options={'scenes': 1})
    assert recipe.validation == DataConfig('nyud', '/data', 'val')
    assert recipe.stages == (Stage('static', 3), Stage('joint', 5, size=(64, 96)))
    assert recipe.policy == PolicyConfig(('blocks',), narrow=0.25)
    assert recipe.augmentation.scale == (1.0, 2.0)
    assert recipe.tasks == tuple(TASKS)
    assert recipe.seed == 0


def test_sets_of_a_mixture_are_data_sets_and_come_back_from_a_checkpoint(read):
    sets = [
        {'kind': 'folder', 'root': '/a', 'weight': 4, 'options': {'part': [0, -100]}},
        {'kind': 'scenes', 'task_weights': {'semseg': 0, 'depth': '5e-1'}},
    ]
    recipe = read(data={'kind': 'mixture', 'sets': sets})
    assert recipe.data.sets == (
        DataConfig('folder', '/a', options={'part': [0, -100]}, weight=4.0),
        DataConfig('scenes', task_weights={'semseg': 0.0, 'depth': 0.5}),
    )
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_numbers_may_be_written_in_any_way(read):
    recipe = read(clip=3, weight_decay='1e-2', weights={'depth': 2})
    assert (recipe.clip, recipe.weight_decay, recipe.weights) == (3.0, 0.01, {'depth': 2.0})
    assert all(isinstance(x, float) for x in (recipe.clip, recipe.weights['depth']))


@pytest.mark.parametrize(
    ('kinds', 'adaptive'),
    [(['static'], False), (['static', 'backbone'], False), (['policy'], True), (KINDS, True)],
)
def test_adaptive_means_that_a_policy_learns(read, kinds, adaptive):
    assert read(stages=[{'kind': kind, 'steps': 1} for kind in kinds]).adaptive is adaptive


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ({'sed': 1}, "unknown entry 'sed', choose from: name, data, .*workers"),
        ({'data': {'kind': 'scenes', 'rot': '/'}}, r"'data\.rot', choose from: kind, root, split"),
        ({'stages': [{'kind': 'static', 'step': 1}]}, r"'stages\.0\.step', choose from: kind, ste"),
        ({'policy': {'gate': []}}, r"'policy\.gate', choose from: gates, task_aware"),
        ({'seed': 'one'}, "'seed' must be of type int, got 'one'"),
        ({'seed': True}, "'seed' must be of type int, got True"),
        ({'seed': None}, "'seed' must be of type int, got None"),
        ({'ema': 'much'}, "'ema' must be of type float, got 'much'"),
        ({'ema': True}, "'ema' must be of type float, got True"),
        ({'ema': [0.5]}, r"'ema' must be of type float, got \[0\.5\]"),
        ({'name': 3}, "'name' must be of type str, got 3"),
        ({'tasks': 'depth'}, r"'tasks' must be of type tuple\[str, \.\.\.\], got 'depth'"),
        ({'tasks': [1]}, r"'tasks\.0' must be of type str, got 1"),
        ({'weights': {'depth': 'x'}}, r"'weights\.depth' must be of type float, got 'x'"),
        ({'weights': [1]}, r"'weights' must be of type dict\[str, float\]"),
        ({'policy': {'task_aware': 1}}, r"'policy\.task_aware' must be of type bool, got 1"),
        (
            {'augmentation': {'scale': [1]}},
            r"'augmentation\.scale' must be of type tuple\[float, f",
        ),
        ({'data': {'kind': 'mixture'}}, "'data': 'sets' are the data sets of kind 'mixture'"),
        ({'data': {'kind': 'nyud', 'sets': [{'kind': 'nyud'}]}}, "'sets' are .* got 'nyud'"),
        (
            {'data': {'kind': 'mixture', 'sets': [{'kind': 'nyud', 'weight': 0}]}},
            r"'data\.sets\.0': weight of a data set must be positive, got 0",
        ),
        (
            {'data': {'kind': 'nyud', 'task_weights': {'sky': 1}}},
            r"task_weights \['sky'\] are unknown, choose from: semseg",
        ),
        (
            {'data': {'kind': 'nyud', 'task_weights': {'depth': -1}}},
            'task_weights must be 0 or mor',
        ),
        (
            {'data': {'kind': 'mixture', 'sets': [{'kind': 'nyud'}], 'task_weights': {'depth': 1}}},
            'a mixture has no task_weights, its sets have',
        ),
        (
            {'data': {'kind': 'mixture', 'sets': [{'kind': 'mixture', 'sets': [{'kind': 'a'}]}]}},
            'a set of a mixture cannot be a mixture',
        ),
        ({'data': 'scenes'}, "'data' must hold entries, got 'scenes'"),
        ({'stages': [3]}, r"'stages\.0' must hold entries, got 3"),
        ({'stages': [{'kind': 'both', 'steps': 1}]}, r"'stages\.0'.* 'both', choose from: static"),
        ({'stages': [{'kind': 'static'}]}, r"'stages\.0': .*missing .* 'steps'"),
        ({'stages': [{'kind': 'static', 'steps': 0}]}, r"'stages\.0': steps, .* must be positive"),
        ({'stages': [{'kind': 'joint', 'steps': 1, 'budgets': [0, 1]}]}, r'budgets in \(0, 1\]'),
        ({'stages': [{'kind': 'joint', 'steps': 1, 'full': 2}]}, r'full in 0\.\.1'),
        ({'stages': []}, 'needs at least one stage'),
        ({'tasks': ['depth', 'sky']}, r"tasks \['sky'\] are unknown, choose from: semseg, .*edges"),
        ({'tasks': []}, 'choose from: semseg'),
        ({'weights': {'sky': 1.0}}, r"tasks \['sky'\] are unknown, choose from: semseg"),
        ({'policy': {'gates': ['heads']}}, "'policy': gates must be some of blocks, widths, win"),
        ({'augmentation': {'scale': [2, 1]}}, "'augmentation': scale needs 0 < least <= greatest"),
        ({'checkpoint_steps': 0}, 'checkpoint_steps must be positive'),
        ({'label_stride': 0}, 'label_stride and .* must be positive'),
        ({'calibration_images': 1}, 'calibration_images at least 2'),
    ],
)
def test_what_cannot_be_is_named_with_what_could_be(read, entries, message):
    with pytest.raises(RecipeError, match=message) as raised:
        read(**entries)
    assert 'recipe.yaml' in str(raised.value)


def test_entries_without_default_must_be_there(tmp_path):
    path = tmp_path / 'recipe.yaml'
    path.write_text('name: bare\n')
    with pytest.raises(RecipeError, match="'data', 'validation', and 'stages'"):
        read_recipe(path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [('a: [', 'is not YAML'), ('', 'must hold the entries'), ('- 1', r'entries .*, got \[1\]')],
)
def test_files_that_are_no_recipe(tmp_path, text, message):
    path = tmp_path / 'recipe.yaml'
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_recipe(path, {})


def test_changes_replace_entries_of_any_depth(read):
    recipe = read({
        'seed': 7,
        'stages.0.steps': 9,
        'stages.1.size': [32, 32],
        'policy.task_aware': False,
        'data.options.frames': 2,
        'tasks': ['depth'],
    })  # fmt: skip
    assert recipe.seed == 7
    assert [stage.steps for stage in recipe.stages] == [9, 5]
    assert recipe.stages[1].size == (32, 32)
    assert recipe.policy == PolicyConfig(task_aware=False)
    assert recipe.data.options == {'scenes': 1, 'frames': 2}
    assert recipe.tasks == ('depth',)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('sed', "unknown entry 'sed', choose from"),
        ('stages.0.step', r"unknown entry 'stages\.0\.step', choose from"),
        ('polisy.narrow', "unknown entry 'polisy', choose from: .*policy"),
        ('stages.2.steps', r"no entry 'stages\.2\.steps' to set"),
        ('stages.2', r"no entry 'stages\.2' to set"),
        ('stages.last.steps', r"no entry 'stages\.last\.steps' to set"),
        ('name.steps', r"no entry 'name\.steps' to set"),
    ],
)
def test_changes_of_entries_that_are_not_there(read, name, message):
    with pytest.raises(RecipeError, match=message):
        read({name: 1})


def test_dictionary_and_back(read):
    recipe = read(weights={'edges': 2.5}, policy={'gates': ['tokens', 'blocks']}, start='a.b')
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert set(stored) == {entry.name for entry in dataclasses.fields(Recipe)}
    assert read(**stored) == recipe
