# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adapters as files: round trips, size, the base they belong to, and files that are not right."""

import json
import math
import shutil
import zlib
from dataclasses import replace

import pytest
import torch
from helpers import small
from helpers.made_adapters import save, trained
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from adamtl_ros.nn.adapters.inject import (
    adapter_state,
    inject,
    load_adapter_state,
    merge,
    remove,
    trainable_parameters,
    unmerge,
)
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.io.checkpoint import (
    ADAPTER_KEY,
    DEFAULT_WEIGHTS,
    CheckpointError,
    Model,
    base_digest,
    load_adapted,
    load_model,
    read_adapter_header,
    save_adapter,
    save_model,
)
from adamtl_ros.tasks import TASKS

CALIBRATION = b'{"size": [192, 256], "images": 2, "levels": {"depth": [[0.5, %s, 0.4]]}}'
IMAGES = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def file(tmp_path):
    return save(tmp_path / 'kitchen.adapter.safetensors', trained(), notes={'seed': 7})


def test_the_lens_is_that_of_the_base(file):
    for focal in (None, 0.9364):
        assert load_adapted(replace(load_model('scenes_nano'), focal=focal), file).focal == focal


def maps(model, budget=1.0):
    with torch.inference_mode():
        return model.network(IMAGES, budget).maps


def rewrite(path, change):
    """Change header and tensors of a file in place."""
    tensors = load_file(path)
    with safe_open(path, 'pt') as file:
        header = json.loads(file.metadata()[ADAPTER_KEY])
    change(header, tensors)
    save_file(tensors, path, {ADAPTER_KEY: json.dumps(header)})


@pytest.mark.parametrize('form', ['matrix', 'foldable'])
@pytest.mark.parametrize('merging', [True, False])
def test_round_trip(tmp_path, form, merging):
    model = trained(form=form, merging=merging)
    read = load_adapted(load_model('scenes_nano'), save(tmp_path / 'a.safetensors', model))
    assert read.network.merged
    plain, before, after = maps(load_model('scenes_nano')), maps(model), maps(read)
    for name, raw in after.items():
        change = (before[name] - plain[name]).abs().mean()
        assert (raw - before[name]).abs().mean() < 0.02 * change


def test_it_says_what_it_is(file):
    header = read_adapter_header(file)
    base = load_model('scenes_nano')
    assert header.base == base_digest(base.network)
    assert (header.base_name, header.notes) == ('scenes_nano', {'seed': 7})
    assert header.config == trained().network.adapters
    assert list(header.tasks) == list(TASKS)
    model = load_adapted(base, file)
    assert model.name == 'scenes_nano+kitchen'
    assert (model.mean, model.std, model.trained) == (base.mean, base.std, base.trained)
    assert model.notes == {**base.notes, 'adapter': {'seed': 7}}


def test_the_base_stays_bit_for_bit_and_a_copy_of_its_file_will_do(file, tmp_path):
    shutil.copy(load_path(tmp_path), tmp_path / 'renamed.safetensors')
    base = load_model(str(tmp_path / 'renamed.safetensors'))
    before, digest = maps(base), base_digest(base.network)
    state = {name: value.clone() for name, value in base.network.state_dict().items()}
    model = load_adapted(base, file)
    assert model.name == 'renamed+kitchen'
    assert base_digest(base.network) == digest
    assert all(torch.equal(base.network.state_dict()[name], state[name]) for name in state)
    for name, raw in maps(base).items():
        assert torch.equal(raw, before[name])
        assert not torch.allclose(raw, maps(model)[name], atol=1e-3)


def load_path(folder):
    save_model(load_model('scenes_nano'), folder / 'base.safetensors')
    return folder / 'base.safetensors'


def storages(model):
    """Return the bytes of each piece of memory that holds weights, folded ones too, by address."""
    tensors = (*model.network.parameters(), *model.network.buffers())
    pieces = (tensor.untyped_storage() for tensor in tensors)
    return {piece.data_ptr(): piece.nbytes() for piece in pieces}


def test_what_adapters_leave_alone_is_not_held_twice(file):
    base = load_model('scenes_nano')
    read, other = load_adapted(base, file), load_adapted(base, file)
    plain, one, two = map(storages, (base, read, other))
    shared = set(plain) & set(one)
    assert sum(plain[place] for place in shared) > 0.8 * sum(plain.values())
    # Only the base is shared; what learned, and what is folded, is of each network alone.
    assert set(one) & set(two) == shared
    folded = sum(4 * layer.weight.numel() for layer in read.network.encoder.linears if layer.merged)
    own = sum(size for place, size in one.items() if place not in shared)
    assert own < folded + 1.2 * file.stat().st_size * 2


def test_whatever_happens_to_an_adapted_network_its_base_stays(file, tmp_path):
    base = load_model('scenes_nano')
    before = {name: value.clone() for name, value in base.network.state_dict().items()}
    with_policy = save(tmp_path / 'policy.safetensors', trained(seed=5), policy=True)
    for path in (file, with_policy):
        network = load_adapted(base, path).network
        unmerge(network)
        load_adapter_state(network, adapter_state(load_adapted(base, file).network))
        merge(network)
        remove(network)
    after = base.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_adapters_go_where_their_base_is(file):
    """As on a GPU, to which the engine has moved the base."""
    base = load_model('scenes_nano')
    digest = base_digest(base.network)
    base.network.to('meta')
    made = load_adapted(base, file, digest).network
    assert made.merged
    places = {tensor.device.type for tensor in (*made.parameters(), *made.buffers())}
    assert places == {'meta'}


def test_digest_knows_nothing_of_adapters():
    network = small.network()
    digest = base_digest(network)
    inject(network, LoraConfig.uniform(2, TASKS, 3, 2, merging=True))
    assert base_digest(network) == digest
    for name, weight in network.named_parameters():
        if name.endswith('.b'):
            torch.nn.init.normal_(weight)
    merge(network)
    assert base_digest(network) == digest
    remove(network)
    assert base_digest(network) == digest
    next(network.decoders.parameters()).data.view(-1)[0] += 1e-3
    assert base_digest(network) != digest


@pytest.mark.parametrize(
    ('source', 'rank', 'layers'),
    [
        ('scenes_nano', 8, ('proj', 'fc1', 'fc2')),
        ('scenes_nano', 12, ('proj', 'fc1', 'fc2')),
        ('scenes_nano', 16, ('proj', 'fc2')),
        ('tiny', 16, ('proj', 'fc1', 'fc2')),
    ],
)
def test_size(tmp_path, source, rank, layers):
    """15 % of the base at most, the calibration included."""
    model = trained(source, rank=rank, task_layers=layers)
    path = save(tmp_path / 'a.safetensors', model, source)
    save_model(load_model(source), tmp_path / 'base.safetensors')
    assert path.stat().st_size <= 0.15 * (tmp_path / 'base.safetensors').stat().st_size


def test_calibration_and_policy_come_along(tmp_path):
    model = trained()
    with torch.no_grad():
        for weight in model.network.policy.parameters():
            weight.add_(0.01)
    model.network.calibration = calibrate(model.network, [IMAGES], [0.5, 0.8])
    base = load_model('scenes_nano')
    read = load_adapted(base, save(tmp_path / 'with.safetensors', model, policy=True)).network
    assert read.calibration == model.network.calibration
    for name, value in model.network.policy.state_dict().items():
        torch.testing.assert_close(read.policy.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    model.network.calibration = None
    read = load_adapted(base, save(tmp_path / 'without.safetensors', model)).network
    assert read.calibration is None  # the base's belongs to other weights
    for name, value in base.network.policy.state_dict().items():
        assert torch.equal(read.policy.state_dict()[name], value)


def test_weights_too_far_apart_for_16_bits_keep_32(tmp_path):
    model = trained()
    name, weight = next(iter(trainable_parameters(model.network)['norm'].items()))
    weight.data[0] = 1e6
    read = load_adapted(load_model('scenes_nano'), save(tmp_path / 'a.safetensors', model))
    assert torch.equal(read.network.get_parameter(name), weight)


def test_another_base_is_refused(file):
    other = load_model('nano', seed=3)
    with pytest.raises(CheckpointError) as error:
        load_adapted(other, file)
    for part in (
        "'scenes_nano'",
        "'nano (random weights)'",
        base_digest(other.network),
        base_digest(load_model('scenes_nano').network),
        'load that base, or adapt this model again',
    ):
        assert part in str(error.value)


def test_adapters_upon_adapters_are_refused(file):
    with pytest.raises(CheckpointError, match="'scenes_nano' has adapters; give one without"):
        load_adapted(trained(), file)


def test_without_adapters_there_is_nothing_to_save(tmp_path):
    with pytest.raises(ValueError, match='has no adapters to save'):
        save_adapter(load_model('nano'), '', tmp_path / 'a.safetensors')


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda h, _: h.update(format=9), 'format 9, this version reads 1'),
        (lambda h, _: h.pop('adapters'), "unusable header: KeyError: 'adapters'"),
        (lambda h, _: h['adapters'].update(form='cubic'), "'foldable|cubic"),
        (lambda h, _: h['adapters']['shared'].update(ranks=[8]), 'one scale for each rank'),
        (lambda h, _: h['tasks'].update(semseg=['sky']), 'tasks and classes'),
        (lambda _, t: t.pop('decoders.edges.' + _some(t)), 'is missing'),
        (lambda _, t: t.update(extra=torch.zeros(1)), "'extra' belongs to no adapter"),
        (
            lambda _, t: t.update(calibration=torch.zeros(3, dtype=torch.uint8)),
            'while decompressing',
        ),
        (lambda _, t: t.update(calibration=packed(bytes(1 << 28))), 'more than 4194304 bytes'),
        (lambda _, t: t.update(calibration=packed(b'[' * 100_000)), 'RecursionError'),
        (
            lambda _, t: t.update(calibration=packed(CALIBRATION % b'NaN')),
            'levels of a calibration must be finite',
        ),
        (
            lambda _, t: t.update(calibration=packed(CALIBRATION % (b'1' + b'0' * 400))),
            'not a calibration of this version',
        ),
        (lambda _, t: t['decoders.edges.' + _some(t)].fill_(math.nan), 'are not finite'),
        (lambda _, t: t['decoders.edges.' + _some(t)].fill_(math.inf), 'are not finite'),
        (lambda h, _: h['adapters']['shared'].update(ranks=[200_000] * 4), 'rank 200000 for 24'),
        (lambda h, _: h['adapters']['shared'].update(ranks=[96] * 4), 'but the file holds'),
        (lambda h, _: h['adapters']['merging'].update(ranks=[2**40] * 3), 'rank 1099511627776'),
        (lambda h, _: h['adapters']['shared'].update(scales=[math.inf] * 4), 'must be positive'),
        (lambda h, _: h.update(base_name='x\n\x1b[31m' * 1000, base='y'), r"base 'x\\n\\x1b\[31m"),
        (lambda h, _: h.update(tasks={'a' * 10**6: []}), 'tasks and classes'),
    ],
)
def test_changed_files(file, change, text):
    rewrite(file, change)
    with pytest.raises(CheckpointError, match=text) as error:
        load_adapted(load_model('scenes_nano'), file)
    assert len(str(error.value)) < 1000
    assert str(error.value).isprintable()


def packed(content):
    """Return bytes as a file has a calibration."""
    return torch.frombuffer(bytearray(zlib.compress(content, 9)), dtype=torch.uint8)


def _some(tensors):
    mark = 'decoders.edges.'
    return next(name for name in tensors if name.startswith(mark)).removeprefix(mark)


def test_files_that_are_none(file, tmp_path):
    base = load_model('scenes_nano')
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors': no such file"):
        load_adapted(base, tmp_path / 'nowhere.safetensors')
    with pytest.raises(CheckpointError, match='no such file'):
        load_adapted(base, tmp_path)
    with pytest.raises(CheckpointError, match='so it holds no adapters'):
        load_adapted(base, load_path(tmp_path))
    file.write_bytes(file.read_bytes()[:-100])
    for read in (read_adapter_header, lambda path: load_adapted(base, path)):
        with pytest.raises(CheckpointError, match='not a complete safetensors file'):
            read(file)


def test_a_model_read_from_a_file_with_adapters_saves_the_same(file, tmp_path):
    base = load_model('scenes_nano')
    model = load_adapted(base, file)
    assert isinstance(model, Model)
    again = load_adapted(base, save(tmp_path / 'kitchen.safetensors', model))
    for name, raw in maps(model).items():
        assert torch.equal(maps(again)[name], raw)


def test_one_loader_for_weights_and_adapters(tmp_path):
    """Without a name it gives the default weights."""
    path = save(tmp_path / 'kitchen.adapter.safetensors', trained())
    assert load_model().name == DEFAULT_WEIGHTS == 'indoor_lite0'
    for adapter in (path, str(path)):
        assert load_model('scenes_nano', adapter).name == 'scenes_nano+kitchen'
    assert load_model('scenes_nano', path).network.merged
    assert load_model('scenes_nano', '').network.adapters is None
