# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Readers of files: any content is read, or is one of the errors that they document."""

import copy
import json
import math

import pytest
import yaml
from helpers import bag_files, small
from helpers.hostile import many
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from adamtl_ros.bags.ground_truth import ClassMap, TruthConfig, read_classes
from adamtl_ros.bags.reader import BagError, IssueLog, find_camera
from adamtl_ros.evaluation.bags.recording import Recording
from adamtl_ros.nn.adapters.inject import inject
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.io.checkpoint import (
    ADAPTER_KEY,
    MODEL_KEY,
    CheckpointError,
    Model,
    base_digest,
    load_adapted,
    read_adapter_header,
    read_model,
    save_adapter,
    save_model,
)
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import TASKS
from adamtl_ros.training.recipe import RecipeError, read_recipe

STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        [-1, 0, 10**6, 2**31, 2**63, 10**400, math.nan, math.inf, 1e308, '', 'x\n\x1b']
    ),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers() | st.text(max_size=3) | st.none(), max_size=5),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
    st.just([[[[]]]]),
)


def places(value, path=()):
    """Return the path of each entry of nested values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, one in inner:
        found.append((*path, key))
        if isinstance(one, (dict, list)):
            found += places(one, (*path, key))
    return found


@st.composite
def changed(draw, values):
    """Draw nested values of which some entries are gone, and others are strange."""
    values = copy.deepcopy(values)
    for _ in range(draw(st.integers(1, 3))):
        found = places(values)
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        place = values
        for key in path:
            place = place[key]
        if draw(st.booleans()):
            place[last] = copy.deepcopy(draw(STRANGE))
        else:
            del place[last]
    return values


def refused(read, kinds):
    """Read, and return whether it was refused by an error of some kinds, in one short line."""
    try:
        read()
    except kinds as error:
        said = str(error)
    else:
        return False
    assert len(said) < 3000
    return True


def base():
    """Return a small model, always the same."""
    return Model(small.network(tasks={name: TASKS[name] for name in ('depth', 'edges')}), 'base')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('files')


@pytest.fixture(scope='module')
def model(folder):
    """Return the header and the tensors of a model file."""
    save_model(base(), folder / 'base.safetensors')
    with safe_open(folder / 'base.safetensors', 'pt') as file:
        return json.loads(file.metadata()[MODEL_KEY]), load_file(folder / 'base.safetensors')


@pytest.fixture(scope='module')
def adapter(folder):
    """Return the header and the tensors of an adapter file."""
    made = base()
    digest = base_digest(made.network)
    inject(made.network, LoraConfig.uniform(2, ('depth', 'edges'), 2, 2, merging=True))
    save_adapter(made, digest, folder / 'a.safetensors')
    with safe_open(folder / 'a.safetensors', 'pt') as file:
        return json.loads(file.metadata()[ADAPTER_KEY]), load_file(folder / 'a.safetensors')


@many
@given(st.data())
def test_headers_of_models(model, folder, data):
    header, tensors = model
    path = folder / 'changed.safetensors'
    save_file(tensors, path, {MODEL_KEY: json.dumps(data.draw(changed(header)))})
    refused(lambda: read_model(path), CheckpointError)


@many
@given(st.data())
def test_headers_of_adapters(adapter, folder, data):
    header, tensors = adapter
    path = folder / 'changed.adapter.safetensors'
    save_file(tensors, path, {ADAPTER_KEY: json.dumps(data.draw(changed(header)))})
    refused(lambda: read_adapter_header(path), CheckpointError)
    refused(lambda: load_adapted(base(), path), CheckpointError)


@many
@given(st.data())
def test_damaged_bytes_of_models_and_adapters(model, adapter, folder, data):
    """Most damage of weights cannot be seen; that of the header, and values not finite, can."""
    key, (header, tensors) = data.draw(
        st.sampled_from([(MODEL_KEY, model), (ADAPTER_KEY, adapter)])
    )
    content = bytearray(save(tensors, {key: json.dumps(header)}))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(
            st.integers(0, min(3000, len(content) - 1)) | st.integers(0, len(content))
        )
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    path = folder / 'damaged.safetensors'
    path.write_bytes(content)
    read = read_model if key == MODEL_KEY else (lambda one: load_adapted(base(), one))
    refused(lambda: read(path), CheckpointError)


RECIPE = {
    'name': 'x',
    'tasks': ['depth'],
    'data': {'kind': 'scenes', 'options': {'scenes': 2}},
    'stages': [{'kind': 'static', 'steps': 9, 'batch': 2, 'size': [64, 64]}],
    'policy': {'gates': ['blocks']},
    'weights': {'depth': 1.0},
    'seed': 1,
}


@many
@given(st.data())
def test_recipes(folder, data):
    path = folder / 'recipe.yaml'
    path.write_text(yaml.safe_dump(data.draw(changed(RECIPE))), encoding='utf-8')
    refused(lambda: read_recipe(path), (RecipeError, ValueError))


@many
@given(st.data())
def test_class_maps(folder, data):
    path = folder / 'classes.yaml'
    path.write_text(
        yaml.safe_dump(
            data.draw(changed({'semseg': {0: 'floor', 1: 'wall'}, 'human_parts': ['a']}))
        ),
        encoding='utf-8',
    )
    refused(lambda: read_classes(path), ValueError)
    if not refused(lambda: ClassMap.read(path), ValueError):
        refused(lambda: ClassMap.read(path).check(TASKS), ValueError)


@many
@given(st.text(max_size=60))
def test_text_that_is_no_yaml(folder, text):
    path = folder / 'text.yaml'
    path.write_text(text, encoding='utf-8', errors='surrogatepass')
    refused(lambda: read_recipe(path), ValueError)
    refused(lambda: read_classes(path), ValueError)


@pytest.fixture(scope='module')
def bag(folder):
    """Return a bag of three frames: its folder, and the bytes of its file."""
    path = bag_files.write(folder / 'bag', bag_files.frames(range(3)))
    return path, bag_files.storage_file(path).read_bytes()


@many
@given(st.data())
def test_damaged_bags(bag, data):
    """What can be read of a bag is read; the rest is an issue, or the bag is refused."""
    path, content = bag
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, 600) | st.integers(0, len(damaged) - 1))
        damaged[place : place + 1] = data.draw(st.binary(max_size=3))
    bag_files.storage_file(path).write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))])
    refused(lambda: find_camera(path), BagError)
    issues = IssueLog()

    def read():
        tasks = {name: TASKS[name] for name in ('depth', 'semseg')}
        for _ in Recording(path, tasks, TruthConfig('', {}, ClassMap()), issues).frames():
            pass

    refused(read, (BagError, DataError))
    assert all(line.isprintable() for line in issues)
