# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Networks as files: round trips, and files that are not right."""

import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.io.checkpoint import (
    MODEL_KEY,
    CheckpointError,
    Model,
    check_sha256,
    load_model,
    read_model,
    save_model,
)
from adamtl_ros.nn.network import AdaptiveNetwork
from adamtl_ros.tasks import TASKS


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'robot.safetensors'
    save_model(load_model('nano', seed=3), path)
    return path


def rewrite(path, change):
    """Change header and tensors of a file in place."""
    tensors = load_file(path)
    from safetensors import safe_open

    with safe_open(path, 'pt') as file:
        header = json.loads(file.metadata()[MODEL_KEY])
    change(header, tensors)
    save_file(tensors, path, {MODEL_KEY: json.dumps(header)})


def test_round_trip(tmp_path):
    source = load_model('nano', seed=3).network
    tasks = {
        'semseg': TASKS['semseg'].with_classes(['floor', 'wall', 'person']),
        'depth': TASKS['depth'],
    }
    policy = PolicyConfig(('blocks', 'widths'), task_aware=False, narrow=0.25)
    network = AdaptiveNetwork(source.arch, tasks, policy).eval()
    network.calibration = calibrate(network, [torch.randn(8, 3, 64, 64)], [0.5, 0.8])
    network.encoder.load_state_dict(source.encoder.state_dict())
    model = Model(network, 'x', (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), trained=True, notes={'seed': 7})
    save_model(model, tmp_path / 'kitchen.safetensors')
    loaded = load_model(str(tmp_path / 'kitchen.safetensors'))
    assert loaded.name == 'kitchen'
    assert (loaded.mean, loaded.std) == (model.mean, model.std)
    assert loaded.trained
    assert loaded.notes == {'seed': 7}
    assert loaded.focal is None
    assert loaded.network.tasks == tasks
    assert loaded.network.policy.config == policy
    assert loaded.network.calibration == network.calibration
    assert not loaded.network.training
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for name in tasks:
            assert torch.equal(loaded.network(image).maps[name], network(image).maps[name])


def test_the_canonical_focal_length_is_kept(tmp_path):
    path = tmp_path / 'lens.safetensors'
    save_model(replace(load_model('nano'), focal=0.9364), path)
    assert read_model(path).focal == 0.9364
    with pytest.raises(ValueError, match=r'focal must be a positive.*got -1'):
        save_model(replace(load_model('nano'), focal=-1.0), path)


def test_files_from_before_depth_followed_the_lens(saved):
    rewrite(saved, lambda header, _: header.pop('focal'))
    assert read_model(saved).focal is None
    assert load_model('scenes_nano').focal is None


def test_random_weights_say_so():
    model = load_model('nano')
    assert not model.trained
    assert model.name == 'nano (random weights)'


def test_missing_file_names_what_is_possible():
    with pytest.raises(
        CheckpointError, match=r"'/no/x.safetensors'.*scenes_nano.*nano, pico, tiny"
    ):
        load_model('/no/x.safetensors')


def test_truncated_file(saved):
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match='not a complete safetensors file'):
        read_model(saved)


def test_not_a_safetensors_file(tmp_path):
    path = tmp_path / 'model.pth'
    torch.save({'model': {}}, path)
    with pytest.raises(CheckpointError, match='not a complete safetensors file'):
        read_model(path)


@pytest.mark.parametrize('header', ['{', '[1]', '"x"'])
def test_header_that_is_no_object(tmp_path, header):
    path = tmp_path / 'odd.safetensors'
    save_file({'weight': torch.zeros(2)}, path, {MODEL_KEY: header})
    with pytest.raises(CheckpointError, match=r'unusable header|format None'):
        read_model(path)


def test_foreign_safetensors_file(tmp_path):
    path = Path(tmp_path / 'foreign.safetensors')
    save_file({'weight': torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="no 'adamtl' header"):
        read_model(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda h, t: h.update(format=99), 'format 99, this version reads 2'),
        (lambda h, t: h['architecture'].pop('depths'), 'not an architecture of this version'),
        (lambda h, t: h['tasks'].update(sky=[]), "unknown task 'sky'"),
        (lambda h, t: h['policy'].update(gates=['heads']), 'gates must be some of blocks'),
        (lambda h, t: h['policy'].update(channels=8), r"'policy.squeeze.weight' has shape"),
        (lambda h, t: h.update(calibration={'size': [1, 1]}), 'not a calibration of this version'),
        (lambda h, t: h.pop('mean'), 'unusable header'),
        (lambda h, t: h.update(focal=0), r'unusable header.*focal must be a positive.*got 0\.0'),
        (lambda h, t: h.update(focal=[1]), 'unusable header: TypeError'),
        (lambda h, t: h.pop('trained'), "unusable header: KeyError: 'trained'"),
        (lambda h, t: h.update(mean=None), 'unusable header: TypeError'),
        (lambda h, t: h.update(mean=[0, 0]), 'must be three numbers each'),
        (lambda h, t: h.update(std=[1, 1, 0]), 'must be three numbers each, std positive'),
        (lambda h, t: h.update(tasks=['depth']), 'unusable header: AttributeError'),
        (lambda h, t: h['architecture'].update(input_size=[0, 0]), 'positive whole numbers'),
        (lambda h, t: h['architecture'].update(heads=[1, 2]), 'one number of heads for each'),
        (lambda h, t: h['architecture'].update(heads=[5, 2, 4, 8]), 'do not divide into heads'),
        (lambda h, t: h['architecture'].update(embed_dim=48), 'but the file holds'),
        (lambda h, t: h['architecture'].update(embed_dim=24 << 10), 'channels of an architecture'),
        (lambda h, t: h['architecture'].update(depths=[10**6] * 4), 'blocks of an architecture'),
        (lambda h, t: h['architecture'].update(depths=[100] * 4), 'but the file holds'),
        (lambda h, t: h['architecture'].update(depths=[1] * 10**5), 'at most 8 stages'),
        (lambda h, t: h['architecture'].update(window=10**6), 'window of an architecture'),
        (lambda h, t: h['architecture'].update(mlp_ratio=10**9), 'mlp_ratio of 16'),
        (lambda h, t: h['architecture'].update(decoder_dim=10**9), 'channels of an architecture'),
        (lambda h, t: h['architecture'].update(patch=2**60), 'patch of an architecture'),
        (lambda h, t: h['architecture'].update(input_size=[10**6] * 2), 'sides of 8 to 4096'),
        (lambda h, t: h['architecture'].update(input_size=[4096, 4096]), 'exceeds 4194304 pixels'),
        (lambda h, t: h['architecture'].update(input_size=[1, 1]), 'sides of 8 to 4096'),
        (lambda h, t: h['policy'].update(hidden=10**7), 'sizes of a policy must be 1 to 1024'),
        (lambda h, t: h['policy'].update(channels=1.5), 'whole numbers'),
        (lambda h, t: h.update(mean=[math.nan] * 3), 'must be three numbers each'),
        (lambda h, t: h.update(std=[math.inf] * 3), 'must be three numbers each'),
        (lambda h, t: h.update(mean=[10**400] * 3), 'unusable header: OverflowError'),
        (lambda h, t: h.update(format='x\n' * 10**6), r"format 'x\\nx"),
        (
            lambda h, t: t['encoder.norms.1.bias'].fill_(math.nan),
            "norms.1.bias' has values that",
        ),
        (lambda h, t: h['architecture'].update(decoder_dim=48), r'has shape \(24,.*expected \(48,'),
        (lambda h, t: t.pop('encoder.norms.1.bias'), r"'encoder.norms.1.bias' is missing.*\(48,\)"),
        (lambda h, t: t.update(extra=torch.zeros(1)), "'extra' belongs to no part"),
        (lambda h, t: h['tasks'].update(depth=['near']), "task 'depth' takes no classes, got 1"),
    ],
)
def test_files_that_do_not_fit(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=message) as error:
        read_model(saved)
    assert len(str(error.value)) < 1000
    assert str(error.value).isprintable()


@pytest.mark.parametrize('header', ['[' * 200_000, '{"format": ' + '1' * 10_000 + '}'])
def test_a_header_that_no_parser_takes(tmp_path, header):
    path = tmp_path / 'deep.safetensors'
    save_file({'weight': torch.zeros(2)}, path, {MODEL_KEY: header})
    with pytest.raises(CheckpointError, match='unusable header'):
        read_model(path)


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', tmp_path / ('a' * 300), tmp_path):
        for read in (lambda one: load_model(str(one)), read_model):
            with pytest.raises(CheckpointError, match=r'no regular file|name too long|a folder'):
                read(path)


def test_the_digest_of_a_file(saved):
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    check_sha256(str(saved), digest.upper())
    with pytest.raises(CheckpointError, match=f'has the SHA-256 {digest}, expected was .0000'):
        check_sha256(str(saved), '0' * 64)
    with pytest.raises(CheckpointError, match="'nano' is no file"):
        check_sha256('nano', digest)
