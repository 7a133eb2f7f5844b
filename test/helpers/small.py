# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A small encoder and network whose every weight counts, and random plans for them."""

from dataclasses import replace

import torch
from hypothesis import strategies as st

from adamtl_ros.nn.adapters.inject import inject
from adamtl_ros.nn.adapters.lora import TASK_LAYERS, LoraConfig
from adamtl_ros.nn.architecture import EfficientNetArchitecture, SwinArchitecture
from adamtl_ros.nn.gating.execution import PlannedExecution
from adamtl_ros.nn.gating.gates import GRANULARITIES
from adamtl_ros.nn.gating.plan import BlockPlan, Plan, Rung, uniform_plan
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.network import AdaptiveNetwork
from adamtl_ros.nn.swin.encoder import SwinEncoder
from adamtl_ros.tasks import TASKS

ARCH = SwinArchitecture('small', 8, (2, 2), (1, 2), 4, 8, (64, 64), mlp_ratio=2)
"""Two stages of 16 x 16 and 8 x 8 tokens: 16 and 4 windows."""

RUNGS = (Rung(), Rung(1.0, (1, 3)), Rung(0.75), Rung(0.5, (1,)))
LITE = EfficientNetArchitecture('small_lite', 'lite0', 8, (64, 64))
"""The smallest convolutional encoder, without a ladder."""

LAYERS = [('proj', 'fc1', 'fc2'), ('proj', 'fc2'), ('fc1', 'fc2'), ('proj',)]
KINDS = [(layers, form) for layers in LAYERS for form in ('matrix', 'foldable')]
"""Which layers carry pairs of tasks, and what these add to."""

MIXES = [(one,) for one in GRANULARITIES] + [('blocks', 'windows'), GRANULARITIES]


def encoder(arch=ARCH, seed=0):
    """Return an encoder whose every weight, position bias included, is far from zero."""
    torch.manual_seed(seed)
    made = SwinEncoder(arch).eval()
    for name, weight in made.named_parameters():
        if 'bias_table' in name:
            torch.nn.init.normal_(weight, std=1)
    return made


def network(gates=('blocks', 'windows'), tasks=TASKS, arch=ARCH, seed=0, **config):
    """Return a network whose scores differ from gate to gate and from image to image."""
    torch.manual_seed(seed)
    made = AdaptiveNetwork(arch, tasks, PolicyConfig(gates, **config)).eval()
    for name, weight in made.named_parameters():
        if 'bias_table' in name or name.endswith('policy.heads.bias'):
            torch.nn.init.normal_(weight, std=1)
    return made


def lite(ladder=RUNGS, seed=0, **config):
    """Return a convolutional network whose norms are not those of a new one."""
    made = network(('blocks',), arch=replace(LITE, ladder=ladder), seed=seed, **config)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return made


def encode(made, image, *plans):
    """Features of images; of all by the only plan if there is but one, all of it if none."""
    depths = [len(layer.blocks) for layer in made.layers]
    plans = plans or (uniform_plan(depths),)
    plans = plans * len(image) if len(plans) == 1 else plans
    return made(made.patch_embed(image), PlannedExecution(plans))


def _block(windows, slots):
    some = st.sets(st.integers(0, windows - 1), min_size=1).map(sorted).map(tuple)
    tokens = st.sets(st.integers(0, windows * slots - 1)).map(sorted).map(tuple)
    return st.builds(
        BlockPlan,
        run=st.booleans(),
        width=st.sampled_from([1.0, 0.5, 0.3, 0.01]),
        windows=st.none() | some,
        tokens=st.none() | tokens,
        tasks=st.none() | st.sets(st.sampled_from(list(TASKS))).map(sorted).map(tuple),
    )


PLANS = st.tuples(_block(16, 16), _block(16, 16), _block(4, 16), _block(4, 16)).map(
    lambda blocks: Plan.from_blocks(blocks, ARCH.depths)
)
"""Any plans of the small network at 64 x 64."""


def adapted(gates=('blocks', 'windows'), tasks=TASKS, layers=TASK_LAYERS, form='foldable', **more):
    """Return a network with adapters on all layers, none of them silent."""
    made = network(gates, tasks, more.pop('arch', ARCH))
    ranks = {'rank': 3, 'task_rank': 2, **more}
    inject(made, LoraConfig.uniform(2, made.tasks, task_layers=layers, form=form, **ranks))
    for name, weight in made.named_parameters():
        if name.endswith('.b'):
            torch.nn.init.normal_(weight, std=0.1)
    return made.eval()


def close(maps, others, atol=2e-5):
    """Check that maps are equal but for rounding."""
    assert list(maps) == list(others)
    for name, raw in maps.items():
        torch.testing.assert_close(raw, others[name], atol=atol, rtol=1e-4)
