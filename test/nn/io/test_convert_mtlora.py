# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Released MTLoRA checkpoints, made here with random weights under the published names."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import reference_mtlora

from adamtl_ros.commands.main import main
from adamtl_ros.nn.adapters.inject import adapter_state, trainable_parameters
from adamtl_ros.nn.io.checkpoint import CheckpointError, load_model
from adamtl_ros.nn.io.convert import POLICY_NOTE, import_mtlora, released_network
from adamtl_ros.runtime.engine import Engine

LISTING = Path(__file__).parents[2] / 'files' / 'mtlora_state_dict.txt'
THEIRS = {'saliency': 'sal'}
REDUCTIONS = [f'backbone.layers.{stage}.downsample.reduction' for stage in range(3)]


def listing():
    """Return names and shapes of the released file with rank 64."""
    lines = [line.split() for line in LISTING.read_text().splitlines() if line[0] != '#']
    shapes = {name: tuple(map(int, shape)) for name, *shape in lines}
    assert len(shapes) == 431
    return shapes


def released(rank=64, task_rank=4, *, plus=False, draw=None):
    """Make a state dict as released, of other ranks too, its weights at random."""
    shapes = {}
    for key, shape in listing().items():
        if 'lora_shared' in key:
            shapes[key] = tuple(rank if n == 64 else n for n in shape)
        elif 'lora_tasks' in key:
            shapes[key] = tuple(task_rank if n == 4 else n for n in shape)
        elif plus and key.removesuffix('.weight') in REDUCTIONS:
            name, (outputs, inputs) = key.removesuffix('.weight'), shape
            shapes[f'{name}.linear.weight'] = shape
            shapes[f'{name}.lora_shared_A'] = (rank, inputs)
            shapes[f'{name}.lora_shared_B'] = (outputs, rank)
        else:
            shapes[key] = shape
    draw = draw or (lambda _, shape: torch.zeros(shape))
    return {key: draw(key, shape) for key, shape in shapes.items()}


def noise(seed=0):
    """Draw weights of a size that leaves every path of the network its say."""
    generator = torch.Generator().manual_seed(seed)

    def draw(key, shape):
        if key.endswith(('relative_position_index', 'num_batches_tracked')):
            return torch.zeros(shape, dtype=torch.long)
        value = torch.randn(shape, generator=generator)
        if key.endswith('running_var'):
            return 0.5 + value.square()
        if ('norm' in key and key.endswith('weight')) or key.endswith('last_layer.1.weight'):
            return 1 + 0.2 * value
        if 'lora_' in key:
            return 0.3 * value / max(shape[-1], 4) ** 0.5
        if len(shape) > 1 and 'bias_table' not in key:
            return value / np.prod(shape[1:]) ** 0.5
        return 0.3 * value

    return draw


def saved(tmp_path, weights):
    path = tmp_path / 'released.pth'
    torch.save({'model': weights, 'epoch': 299, 'max_accuracy': 0.0}, path)
    return path


@pytest.mark.parametrize('plus', [False, True])
def test_every_key_is_used_and_the_maps_are_the_published_ones(plus):
    weights = released(plus=plus, draw=noise())
    network = released_network(weights)
    assert list(network.tasks) == ['semseg', 'human_parts', 'normals', 'saliency']
    assert [task.channels for task in network.tasks.values()] == [21, 7, 3, 1]
    image = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        ours = network(image).maps
        theirs = [THEIRS.get(name, name) for name in ours]
        plain = reference_mtlora.predict(weights, image, theirs, window=7)
    for name, got in ours.items():
        expected = plain[THEIRS.get(name, name)]
        assert got.shape == expected.shape == (2, expected.shape[1], 28, 28)
        assert (got - expected).abs().max() <= 1e-4 * expected.abs().max(), name


def test_pairs_of_a_task_are_its_own():
    weights = released(rank=2, task_rank=1, draw=noise())
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = released_network(weights)(image).maps
        for key in ('1.blocks.1.attn.proj.lora_tasks_A.sal', '2.blocks.5.mlp.fc2.lora_tasks_B.sal'):
            changed = {**weights, f'backbone.layers.{key}': -weights[f'backbone.layers.{key}']}
            after = released_network(changed)(image).maps
            same = {n: torch.allclose(raw, before[n], atol=1e-5) for n, raw in after.items()}
            assert same == {name: name != 'saliency' for name in before}


def test_the_engine_runs_it_from_a_file_of_ours(tmp_path, capsys):
    weights = released(rank=2, task_rank=1, draw=noise())
    path = saved(tmp_path, weights)
    out = tmp_path / 'model.safetensors'
    command = ['import-mtlora', str(path), '--out', str(out), '--input-size', '64', '96']
    assert main(command) == 0
    assert 'saliency at 64x96; its policy is not trained' in capsys.readouterr().out
    model = load_model(str(out))
    assert model.trained
    assert model.notes['policy'] == POLICY_NOTE
    assert model.input_size == (64, 96)
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    engine = Engine(model)
    full, half = engine.run(image, 1.0), engine.run(image, 0.6)
    assert {name: result.shape[:2] for name, result in full.results.items()} == dict.fromkeys(
        ('semseg', 'human_parts', 'normals', 'saliency'), (80, 120)
    )
    assert full.cost.fraction == 1
    assert half.cost.fraction <= 0.6
    direct = released_network(weights, (64, 96))
    raw = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        for name, got in model.network(raw).maps.items():
            torch.testing.assert_close(got, direct(raw).maps[name], atol=1e-5, rtol=1e-4)


PUBLISHED = [
    # rank, rank of tasks, MTLoRA+, trainable, total
    (16, 4, False, 4_953_146, 30_871_418),
    (32, 4, False, 6_083_642, 32_001_914),
    (64, 4, False, 8_344_634, 34_262_906),
    (4, 4, True, 2_573_114, 30_039_674),
    (8, 8, True, 3_148_346, 30_614_906),
    (16, 16, True, 4_298_810, 31_765_370),
    (16, 4, True, 3_469_370, 30_935_930),
    (32, 4, True, 4_664_378, 32_130_938),
    (64, 4, True, 7_054_394, 34_520_954),
]


@pytest.mark.parametrize(('rank', 'task_rank', 'plus', 'trained', 'total'), PUBLISHED)
def test_published_numbers_of_parameters(rank, task_rank, plus, trained, total):
    network = released_network(released(rank, task_rank, plus=plus))
    counts = {
        part: sum(parameter.numel() for parameter in found.values())
        for part, found in trainable_parameters(network).items()
    }
    assert sum(counts.values()) == trained
    assert counts['task'] == 276_480 * task_rank // 4
    assert counts['norm'] == 23_040
    assert counts['patch_embed'] == 4_896
    assert counts['merging'] == (0 if plus else 1_548_288)
    assert counts['position_bias'] == 23_322
    assert counts['decoders'] == 1_946_624
    policy = sum(parameter.numel() for parameter in network.policy.parameters())
    assert sum(parameter.numel() for parameter in network.parameters()) - policy == total
    # Batch norms also keep two running numbers for each channel, and a count.
    state = adapter_state(network)
    assert sum(value.numel() for value in state.values()) == trained + 4 * (2 * 1080 + 1)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda w: w.pop('backbone.layers.0.blocks.1.mlp.fc1.lora_tasks_B.sal'),
         r"'backbone.layers.0.blocks.1.mlp.fc1.lora_tasks_B.sal' is missing, expected \(384, 4\)"),
        (lambda w: w.pop('backbone.patch_embed.proj.weight'), 'patch_embed.proj.weight. is mis'),
        (lambda w: w.update(extra=torch.zeros(1)), "'extra' belongs to no part"),
        (lambda w: w.update({'decoders.decoders.semseg.last_layer.3.bias': torch.zeros(40)}),
         r"semseg.last_layer.3.bias' has shape \(40,\), expected \(21,\)"),
        (lambda w: w.update({'downsampler.sky.downsample_0.weight': torch.zeros(18, 192, 1, 1)}),
         "unknown task 'sky'"),
        (lambda w: [w.pop(key) for key in list(w) if key.startswith('backbone')],
         "it has no 'backbone.layers.0.blocks.0'"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(change, message):
    weights = released(rank=2)
    change(weights)
    with pytest.raises(ValueError, match=message):
        released_network(weights)


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'weight': torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r'other.pth: not a network of MTLoRA: it has no'):
        import_mtlora(path)


def test_settings_of_the_training_script_beside_the_weights(tmp_path, monkeypatch):
    """The published scripts save their yacs settings too; they are read without that package."""
    yacs, config = types.ModuleType('yacs'), types.ModuleType('yacs.config')

    class CfgNode(dict):
        pass

    CfgNode.__module__, CfgNode.__qualname__ = 'yacs.config', 'CfgNode'
    config.CfgNode = CfgNode  # type: ignore[attr-defined]
    settings = CfgNode(MODEL=CfgNode(NAME='swin'))
    settings.frozen = True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'yacs', yacs)
    monkeypatch.setitem(sys.modules, 'yacs.config', config)
    path = tmp_path / 'released.pth'
    torch.save({'model': released(rank=2), 'config': settings}, path)
    monkeypatch.undo()
    assert import_mtlora(path).network.adapters.shared.ranks == (2, 2, 2, 2)
