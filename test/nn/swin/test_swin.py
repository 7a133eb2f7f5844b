# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The encoder against a plain Swin, and what leaving blocks out does."""

from dataclasses import replace

import pytest
import torch
from helpers import reference_swin, small

from adamtl_ros.nn.architecture import SwinArchitecture, architecture
from adamtl_ros.nn.gating.plan import OFF, uniform_plan
from adamtl_ros.nn.swin.encoder import Mlp, SwinEncoder, WindowAttention, _attend
from adamtl_ros.nn.swin.windows import window_grid


@pytest.mark.parametrize(('name', 'size'), [('tiny', (224, 224)), ('nano', (256, 512))])
def test_encoder_equals_plain_swin(name, size):
    arch = architecture(name)
    assert isinstance(arch, SwinArchitecture)
    encoder = small.encoder(arch)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        ours = small.encode(encoder, image)
        plain = reference_swin.encode(
            encoder.state_dict(), image, arch.depths, arch.heads, arch.window
        )
    for got, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)


def test_parameter_count_of_published_swin_tiny():
    # Liu et al. 2021 report 28.3 M with a classifier of 769,000 weights; three norms are ours.
    encoder = SwinEncoder(architecture('tiny'))
    extra = sum(2 * dim for dim in architecture('tiny').dims[:3])
    assert sum(weight.numel() for weight in encoder.parameters()) - extra == 27_519_354


def test_padding_does_not_leak_into_the_image():
    """On a padded grid, tokens must come out as if the padding were not there."""
    attention = WindowAttention(8, 2, 4).eval()
    torch.nn.init.normal_(attention.relative_position_bias_table)
    grid = window_grid(3, 4, 4, shifted=False)
    tokens = torch.randn(1, 16, 8)
    other = tokens.clone()
    other[:, 12:] = torch.randn(1, 4, 8)  # the padded row
    with torch.no_grad():
        torch.testing.assert_close(attention(tokens, grid)[:, :12], attention(other, grid)[:, :12])


@pytest.mark.parametrize('size', [(199, 301), (33, 40), (7, 5), (192, 256)])
def test_any_input_size(size):
    arch = architecture('nano')
    features = small.encode(small.encoder(arch), torch.randn(1, 3, *size))
    height, width = (-(-side // 4) for side in size)
    for stage, feature in enumerate(features):
        assert feature.shape == (1, height, width, arch.dims[stage])
        assert feature.isfinite().all()
        height, width = (height + 1) // 2, (width + 1) // 2


def test_left_out_block_is_the_identity():
    """A plan without a block equals a network whose block adds nothing."""
    arch = replace(architecture('nano'), depths=(2, 2, 2, 2))
    encoder, image = small.encoder(arch), torch.randn(1, 3, 96, 128)
    plan = uniform_plan(arch.depths).replace(2, 1, OFF)
    with torch.no_grad():
        skipped = small.encode(encoder, image, plan)
        for layer in (encoder.layers[2].blocks[1].attn.proj, encoder.layers[2].blocks[1].mlp.fc2):
            layer.weight.zero_()
            layer.bias.zero_()
        silenced = small.encode(encoder, image)
    for one, other in zip(skipped, silenced, strict=True):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-4)


def test_narrow_mlp_is_the_first_channels():
    mlp = Mlp(6, 24)
    x = torch.randn(5, 6)
    with torch.no_grad():
        narrow = mlp(x, 1 / 3)
        mlp.fc2.weight[:, 8:] = 0
        torch.testing.assert_close(narrow, mlp(x), atol=5e-5, rtol=1e-4)
        assert mlp(x, 1e-9).shape == (5, 6)


def test_position_bias_follows_its_table():
    """The bias kept between calls must not outlive a change of the weights."""
    attention = WindowAttention(8, 2, 4).eval()
    grid = window_grid(8, 8, 4, shifted=True)
    tokens = torch.randn(4, 16, 8)
    with torch.no_grad():
        before = attention(tokens, grid)
        attention.relative_position_bias_table.normal_()
        after = attention(tokens, grid)
        assert not torch.equal(before, after)
        with torch.enable_grad():
            torch.testing.assert_close(attention(tokens, grid).detach(), after)


def test_position_bias_follows_tables_that_take_its_place():
    """A new table may get the memory of an old one; the bias kept must not be that one's."""
    attention = WindowAttention(8, 2, 4).eval()
    grid = window_grid(8, 8, 4, shifted=True)
    with torch.no_grad():
        for _ in range(20):
            state = {key: torch.randn_like(value) for key, value in attention.state_dict().items()}
            attention.load_state_dict(state, assign=True)
            del state
            bias = attention.bias(grid, torch.float)
            torch.testing.assert_close(bias, attention._compute_bias(grid, torch.float))


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
def test_attention_is_the_same_whether_its_bias_learns_or_not(shifted, size):
    """Both ways to attend give the same results and gradients, masks and padding included."""
    attention = WindowAttention(8, 2, 4)
    torch.nn.init.normal_(attention.relative_position_bias_table)
    grid = window_grid(*size, 4, shifted=shifted)
    tokens = torch.randn(2 * grid.count, 16, 8)
    weight = torch.randn_like(tokens)
    found = []
    for learns in (False, True):
        attention.relative_position_bias_table.requires_grad_(learns)
        attention.zero_grad()
        x = tokens.clone().requires_grad_()
        out = attention(x, grid)
        (out * weight).sum().backward()
        grads = [layer.weight.grad for layer in (attention.qkv, attention.proj)]
        found.append([out.detach(), x.grad, *grads])
    for one, other in zip(*found, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_both_ways_to_attend_follow_the_formula(dtype):
    q, k, v = torch.randn(3, 5, 2, 16, 4).to(dtype)
    bias = torch.randn(1, 2, 16, 16)
    bias[:, :, :, 3:7] = float('-inf')
    scores = q.double() @ k.double().transpose(-2, -1) / 2 + bias
    expected = (scores.softmax(-1) @ v.double()).to(dtype)
    close = {'atol': 1e-5, 'rtol': 1e-4} if dtype == torch.float32 else {'atol': 0.05, 'rtol': 0.05}
    for learns in (False, True):
        given = bias.to(dtype).requires_grad_(learns)
        out = _attend(q, k, v, given)
        assert out.dtype == dtype
        torch.testing.assert_close(out.detach(), expected, **close)
        if learns:
            out.sum().backward()
            assert given.grad.isfinite().all()
            assert not given.grad[:, :, :, 3:7].any()


def test_gradients_reach_every_weight():
    arch = architecture('nano')
    encoder = small.encoder(arch).train()
    features = small.encode(encoder, torch.randn(2, 3, 64, 96))
    sum(feature.square().mean() for feature in features).backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
