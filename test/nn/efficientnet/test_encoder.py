# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite against its published table, and torch's own operators."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.efficientnet.encoder import (
    MULTIPLIERS,
    EfficientNetClassifier,
    EfficientNetEncoder,
    SameConv2d,
    block_configs,
    round_channels,
)
from adamtl_ros.nn.gating.execution import PlannedExecution
from adamtl_ros.nn.gating.plan import OFF, uniform_plan

# Liu 2020, table of EfficientNet-Lite: input side, million parameters, million MACs.
PUBLISHED = {
    'lite0': (224, 4.7, 407),
    'lite1': (240, 5.4, 631),
    'lite2': (260, 6.1, 899),
    'lite3': (280, 8.2, 1440),
    'lite4': (300, 13.0, 2640),
}


@pytest.mark.parametrize('variant', MULTIPLIERS)
def test_parameters_and_macs_are_the_published_ones(variant):
    side, parameters, macs = PUBLISHED[variant]
    with torch.device('meta'):
        network = EfficientNetClassifier(variant).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, side, side))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.06)
    # The published counts include additions of biases and activations.
    assert counter.get_total_flops() / 2e6 == pytest.approx(macs, rel=0.06)


def test_blocks_of_lite0_by_hand():
    configs = block_configs('lite0')
    assert len(configs) == 16
    assert [c.out_channels for c in configs] == [
        16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320,
    ]  # fmt: skip
    assert [i for i, c in enumerate(configs) if c.residual] == [2, 4, 6, 7, 9, 10, 12, 13, 14]


@pytest.mark.parametrize(('channels', 'rounded'), [(35.2, 32), (26.4, 24), (12, 16), (9, 16)])
def test_channels_are_rounded_to_eight_but_never_down_by_more_than_a_tenth(channels, rounded):
    assert round_channels(channels) == rounded


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2]), st.sampled_from([1, 3, 5]))
def test_same_padding_is_centerd_with_the_odd_pixel_last(height, width, stride, kernel):
    x = torch.randn(1, 2, height, width)
    conv = SameConv2d(2, 3, kernel, stride)
    out = conv(x)
    assert out.shape[-2:] == (-(-height // stride), -(-width // stride))
    pads = []
    for side in (width, height):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    padded = torch.nn.functional.pad(x, pads)
    expected = torch.nn.functional.conv2d(padded, conv.weight, conv.bias, stride)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(96, 128), (97, 131)])
def test_features_have_strides_4_to_32(size):
    encoder = EfficientNetEncoder('lite0').eval()
    with torch.inference_mode():
        features = encoder(encoder.stem(torch.randn(1, 3, *size)))
    for feature, channels, stride in zip(features, (24, 40, 112, 320), (4, 8, 16, 32), strict=True):
        assert feature.shape == (1, channels, *(-(-side // stride) for side in size))


def test_a_closed_block_is_the_identity():
    torch.manual_seed(0)
    encoder = EfficientNetEncoder('lite0').eval()
    x = encoder.stem(torch.randn(1, 3, 64, 64))
    depths = architecture('lite0').depths
    with torch.inference_mode():
        closed = encoder(x, PlannedExecution([uniform_plan(depths, OFF)]))
        for block in encoder.blocks:
            if block.config.residual:
                torch.nn.init.zeros_(block.bn2.weight)
                torch.nn.init.zeros_(block.bn2.bias)
        torch.testing.assert_close(encoder(x), closed)


def test_places_of_lite0_by_hand():
    encoder = EfficientNetEncoder('lite0')
    assert encoder.places == {
        2: (0, 0), 4: (1, 0), 6: (2, 0), 7: (2, 1), 9: (2, 2), 10: (2, 3),
        12: (3, 0), 13: (3, 1), 14: (3, 2),
    }  # fmt: skip
    assert architecture('lite0').depths == (1, 1, 4, 3)


def test_unknown_variants_are_refused():
    with pytest.raises(ValueError, match="unknown variant 'lite9', choose from: lite0"):
        block_configs('lite9')
