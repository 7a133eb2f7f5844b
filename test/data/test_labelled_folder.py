# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folders of photographs with PNG labels: values, missing files, parts, and errors."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from adamtl_ros.data.labelled_folder import LabelledFolder
from adamtl_ros.sample import DataError, valid_mask
from adamtl_ros.tasks import TASKS

PHOTOS = Path(__file__).resolve().parents[3] / 'shared' / 'photos'
HEIGHT, WIDTH = 12, 16
CLASSES = {'semseg': ['floor', 'wall', 'chair'], 'human_parts': ['background', 'head']}


def write(path, pixels):
    path.parent.mkdir(exist_ok=True, parents=True)
    stored = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    assert cv2.imwrite(str(path), stored)


def pixels(task):
    """Return a label as it is stored: a value of each kind, the first column unknown."""
    ramp = np.tile(np.arange(WIDTH), (HEIGHT, 1))
    if task == 'depth':
        stored = (1000 + 250 * ramp).astype(np.uint16)
        stored[:, 0], stored[0, :] = 0, 65535
        return stored
    if task == 'normals':
        # Normals of 4x4 pixels: towards the camera, but for an unknown column.
        stored = np.full((HEIGHT // 4, WIDTH // 4, 3), (128, 128, 0), np.uint8)
        stored[:, 0] = 128
        stored[0, 1] = 0, 128, 128
        return stored
    if TASKS[task].classes:
        stored = (ramp % len(CLASSES[task])).astype(np.uint8)
        stored[:, 0] = 255
        return stored
    return (ramp * 17).astype(np.uint8)


@pytest.fixture
def root(tmp_path):
    """Return a folder of three images: all labels, only depth, none."""
    for name in 'abc':
        write(tmp_path / f'images/{name}.png', np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8))
    for task in TASKS:
        write(tmp_path / f'{task}/a.png', pixels(task))
    write(tmp_path / 'depth/b.png', pixels('depth'))
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/train.txt').write_text('a\nb\nc\n')
    (tmp_path / 'splits/val.txt').write_text('c\n')
    (tmp_path / 'classes.yaml').write_text(yaml.safe_dump(CLASSES))
    return tmp_path


def test_labels_are_in_the_form_of_every_data_set(root):
    dataset = LabelledFolder(root)
    assert {name: task.classes for name, task in dataset.tasks.items() if task.classes} == {
        name: tuple(classes) for name, classes in CLASSES.items()
    }
    sample = dataset[0]
    assert (sample.name, list(sample.labels), sample.weights) == ('a', list(TASKS), {})
    assert sample.image.dtype == np.uint8
    assert sample.image[0, 0].tolist() == [10, 20, 30]
    labels = {name: label[5].tolist() for name, label in sample.labels.items()}
    assert labels['semseg'][:5] == [255, 1, 2, 0, 1]
    assert labels['human_parts'][:4] == [255, 1, 0, 1]
    np.testing.assert_array_equal(labels['depth'][:3], [np.nan, 1.25, 1.5])
    assert np.isnan(sample.labels['depth'][0]).all()
    np.testing.assert_allclose(labels['saliency'], np.arange(16) / 15, rtol=1e-6)
    np.testing.assert_allclose(labels['edges'], np.arange(16) / 15, rtol=1e-6)
    normals = sample.labels['normals']
    assert normals.shape == (HEIGHT, WIDTH, 3)
    assert np.isnan(normals[:, :4]).all()
    np.testing.assert_allclose(normals[5, 4], [0, 0, -1], atol=0.006)
    np.testing.assert_allclose(normals[3, 7], [-1, 0, 0], atol=0.006)
    assert {name: str(label.dtype) for name, label in sample.labels.items()} == {
        name: 'uint8' if task.classes else 'float32' for name, task in TASKS.items()
    }


def test_labels_may_be_missing(root):
    dataset = LabelledFolder(root)
    assert [list(dataset[index].labels) for index in range(3)] == [list(TASKS), ['depth'], []]
    for folder in (*CLASSES, 'edges'):
        (root / folder / 'a.png').unlink()
        (root / folder).rmdir()
    (root / 'classes.yaml').unlink()
    assert list(LabelledFolder(root)[0].labels) == ['normals', 'saliency', 'depth']


def test_some_tasks_only(root):
    dataset = LabelledFolder(root, tasks=['depth', 'semseg'])
    assert list(dataset.tasks) == list(dataset[0].labels) == ['semseg', 'depth']
    assert not LabelledFolder(root, tasks=[])[0].labels


@pytest.mark.parametrize(
    ('part', 'names'),
    [([0, -1], 'ab'), ([-1, None], 'c'), ([1, 2], 'b'), ([None, 2], 'ab'), ([0, 99], 'abc')],
)
def test_part_of_a_split(root, part, names):
    assert ''.join(LabelledFolder(root, part=part).names) == names


def test_images_of_either_suffix(root):
    write(root / 'images/d.jpeg', np.zeros((4, 4, 3), np.uint8))
    (root / 'splits/train.txt').write_text('d\na\n')
    assert [sample.image.shape[0] for sample in map(LabelledFolder(root).__getitem__, (0, 1))] == [
        4,
        HEIGHT,
    ]


def test_a_mask_of_zeros_and_ones_is_one_of_0_to_255(root):
    write(root / 'saliency/a.png', (pixels('saliency') > 99).astype(np.uint8))
    assert np.unique(LabelledFolder(root)[0].labels['saliency']).tolist() == [0, 1]


def test_palette_images_hold_class_ids(root):
    image = Image.fromarray(pixels('semseg')).convert('P')
    image.putpalette([value for index in range(256) for value in (index, 0, 255 - index)])
    expected = LabelledFolder(root)[0].labels['semseg']
    image.save(root / 'semseg/a.png')
    assert cv2.imread(str(root / 'semseg/a.png'), cv2.IMREAD_UNCHANGED).ndim == 3
    np.testing.assert_array_equal(LabelledFolder(root)[0].labels['semseg'], expected)


def test_confidence_becomes_the_weight_of_pixels(root):
    write(root / 'edges_confidence/a.png', np.full((6, 8), 51, np.uint8))
    write(root / 'depth_confidence/b.png', np.zeros((HEIGHT, WIDTH), np.uint8))
    first, second = (LabelledFolder(root)[index] for index in (0, 1))
    assert list(first.weights) == ['edges']
    np.testing.assert_allclose(first.weights['edges'], np.full((HEIGHT, WIDTH), 0.2), rtol=1e-6)
    assert not second.weights['depth'].any()


def test_a_cache_gives_the_same_and_reads_once(root):
    plain, cached = LabelledFolder(root), LabelledFolder(root, cache=True)
    first = cached[0]
    for path in (*root.glob('*/a.png'),):
        path.write_bytes(b'')
    second = cached[0]
    for one in (first, second):
        assert list(one.labels) == list(TASKS)
        np.testing.assert_array_equal(one.image, first.image)
        for name, label in one.labels.items():
            np.testing.assert_array_equal(label, first.labels[name])
    with pytest.raises(DataError, match=r'a\.png cannot be read'):
        plain[0]
    assert len(pickle.loads(pickle.dumps(cached))) == 3  # noqa: S301  for worker processes


@pytest.mark.parametrize(
    ('file', 'stored', 'message'),
    [
        ('semseg/a.png', np.full((12, 16), 3, np.uint8), r'a\.png: class id 3, .* 0 to 2 and 255'),
        ('semseg/a.png', np.zeros((12, 16, 3), np.uint8), '3 channels of uint8; .* class ids, 8'),
        ('edges/a.png', np.zeros((12, 16, 3), np.uint8), '3 channels of uint8; .* 8 bit gray, 0'),
        (
            'depth/a.png',
            np.ones((12, 16), np.uint8),
            'depth/a.png has 1 channels of uint8; .* 16 b',
        ),
        ('normals/a.png', np.ones((12, 16), np.uint8), '1 channels of uint8; .* 8 bit RGB, 0..255'),
        (
            'saliency/a.png',
            np.ones((16, 12), np.uint8),
            r'saliency of a has 16x12 .* image 12x16; turn',
        ),
    ],
)
def test_labels_of_another_form(root, file, stored, message):
    write(root / file, stored)
    with pytest.raises(DataError, match=message):
        LabelledFolder(root)[0]


def spoil(root, file, text):
    (root / file).write_text(text)


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        (lambda _: None, {'split': 'test'}, r"no split 'test', there are: train, val"),
        (lambda _: None, {'part': [3, None]}, r'part \[3, None\] of 3 images has none'),
        (lambda _: None, {'part': 3}, r'part is \[first, last\], whole numbers or null, got 3'),
        (lambda _: None, {'part': [0.5, 1]}, 'whole numbers or null, got'),
        (lambda root: spoil(root, 'splits/val.txt', '\n'), {'split': 'val'}, 'names no images'),
        (lambda root: spoil(root, 'splits/train.txt', 'a\nz\ny'), {}, r'z\.jpg is missing, .* 2'),
        (lambda root: spoil(root, 'classes.yaml', 'semseg: [a, b]'), {}, 'the classes of human_pa'),
        (lambda root: spoil(root, 'classes.yaml', 'semseg: {0: a}'), {}, 'semseg must be a list'),
        (lambda root: spoil(root, 'classes.yaml', 'semseg: [no, 3]'), {}, 'quoted if numbers or y'),
        (lambda root: spoil(root, 'classes.yaml', 'depth: [a]'), {}, 'for semseg, human_parts'),
        (lambda root: spoil(root, 'classes.yaml', '[a'), {}, 'classes.yaml is not YAML'),
        (lambda root: spoil(root, 'edges/a.jpg', ''), {}, r'a\.jpg: labels are PNG files'),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_opened(root, change, options, message):
    change(root)
    with pytest.raises(DataError, match=message):
        LabelledFolder(root, **options)


def test_folders_that_are_no_data_sets(root, tmp_path_factory):
    with pytest.raises(
        DataError, match=r'has no folder with labels; .* one of semseg, human_parts'
    ):
        LabelledFolder(tmp_path_factory.mktemp('empty'))
    with pytest.raises(ValueError, match="unknown task 'sky', choose from: semseg, "):
        LabelledFolder(root, tasks=['sky'])
    with pytest.raises(IndexError, match='image 3 is outside 0 to 2'):
        LabelledFolder(root)[3]


@pytest.mark.skipif(not PHOTOS.is_dir(), reason='needs ../shared/photos')
def test_real_photographs():
    """First and last image of every set: what is known is in range, and something is."""
    sets = sorted(path for path in PHOTOS.iterdir() if path.is_dir())
    assert sets
    for dataset in map(LabelledFolder, sets):
        for sample in (dataset[0], dataset[len(dataset) - 1]):
            assert max(sample.image.shape) == 320
            assert sample.image.std() > 1
            for name, label in sample.labels.items():
                check(name, label, sample.image.shape[:2], len(dataset.tasks[name].classes))


def check(name, label, size, classes):
    """Check size and range of a label of a photograph."""
    known = valid_mask(name, label)
    assert known.shape == size
    values = label[known]
    if name == 'normals':
        np.testing.assert_allclose(np.linalg.norm(values, axis=-1), 1, rtol=1e-5)
        assert known.mean() > 0.2
        assert (values[:, 2] < 0).mean() > 0.95  # towards the camera
    elif name == 'depth':
        assert 0.3 < values.min() < values.max() < 10.1
        assert known.mean() > 0.5
    else:
        assert values.min() >= 0
        assert values.max() < classes if classes else values.max() <= 1
