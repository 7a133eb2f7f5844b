# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""NYUDv2, as a small folder of the same layout, in both packagings."""

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from adamtl_ros.data.nyud import NYU_CLASSES, Nyud
from adamtl_ros.sample import DataError

HEIGHT, WIDTH = 20, 30


def make(root):
    for folder in ('images', 'gt_sets', 'segmentation', 'normals', 'depth', 'edge'):
        (root / folder).mkdir()
    (root / 'gt_sets/train.txt').write_text('00001\n00002\n')
    (root / 'gt_sets/val.txt').write_text('00002\n')
    for name in ('00001', '00002'):
        cv2.imwrite(str(root / f'images/{name}.jpg'), np.full((HEIGHT, WIDTH, 3), 60, np.uint8))
    return root


def segmentation():
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[:, 10:] = 1
    label[:, 20:] = 40
    label[0] = 255
    return label


def depth():
    label = np.full((HEIGHT, WIDTH), 2.5, np.float32)
    label[:2] = 0
    return label


def edges():
    label = np.zeros((HEIGHT, WIDTH))
    label[:, 10] = 1
    return label


@pytest.fixture(params=['arrays', 'matlab'])
def root(request, tmp_path):
    """Return a data set of two images, the second without labels."""
    make(tmp_path)
    normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    normals[:, 10:] = 0, 0.6, 0.8
    if request.param == 'arrays':
        cv2.imwrite(str(tmp_path / 'segmentation/00001.png'), segmentation())
        np.save(tmp_path / 'normals/00001.npy', normals)
        np.save(tmp_path / 'depth/00001.npy', depth())
        np.save(tmp_path / 'edge/00001.npy', edges().astype(bool))
    else:
        savemat(tmp_path / 'segmentation/00001.mat', {'segmentation': segmentation()})
        stored = np.round((normals + 1) * 127.5).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 100]
        cv2.imwrite(str(tmp_path / 'normals/00001.jpg'), stored[..., ::-1], quality)
        savemat(tmp_path / 'depth/00001.mat', {'depth': depth()})
        cv2.imwrite(str(tmp_path / 'edge/00001.png'), (edges() * 255).astype(np.uint8))
    return tmp_path


def test_labels_of_an_image(root):
    data = Nyud(root)
    assert list(data.tasks) == ['semseg', 'normals', 'depth', 'edges']
    assert len(data) == 2
    sample = data[0]
    assert (sample.name, sample.image.shape) == ('00001', (20, 30, 3))
    assert {name: label.dtype.name for name, label in sample.labels.items()} == {
        'semseg': 'uint8', 'normals': 'float32', 'depth': 'float32', 'edges': 'uint8',
    }  # fmt: skip
    assert data[1].labels == {}
    assert len(Nyud(root, 'val', ['depth'])) == 1


def test_background_is_unlabelled_and_classes_begin_at_0(root):
    data = Nyud(root, tasks=['semseg'])
    label = data[0].labels['semseg']
    assert (label[0] == 255).all()
    assert [np.unique(label[1:, i : i + 10]).tolist() for i in (0, 10, 20)] == [[255], [0], [39]]
    assert data.tasks['semseg'].classes == NYU_CLASSES
    assert (len(NYU_CLASSES), NYU_CLASSES[0], NYU_CLASSES[39]) == (40, 'wall', 'other prop')


def test_depth_edges_and_normals(root):
    labels = Nyud(root)[0].labels
    assert np.isnan(labels['depth'][:2]).all()
    assert (labels['depth'][2:] == 2.5).all()
    assert (labels['edges'] == edges()).all()
    normals = labels['normals']
    # Stored upwards and towards the camera, so here y and z are negative. JPEG blurs the border.
    expected = np.broadcast_to([0, -0.6, -0.8], (20, 12, 3))
    np.testing.assert_allclose(normals[:, 18:], expected, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(normals[:, 18:], axis=-1), 1, atol=1e-6)
    assert np.isnan(normals[:, :6]).all()


def test_missing_and_damaged_files(tmp_path):
    root = make(tmp_path)
    np.save(root / 'depth/00001.npy', np.zeros((2, 3, 4)))
    with pytest.raises(
        DataError, match=r'00001\.npy .*depth is \(height, width\), not \(2, 3, 4\)'
    ):
        Nyud(root)[0]
    (root / 'depth/00001.npy').write_bytes(b'\x93NUMPY')
    with pytest.raises(DataError, match=r'00001\.npy cannot be read'):
        Nyud(root)[0]
    np.save(root / 'normals/00001.npy', np.zeros((2, 3)))
    with pytest.raises(DataError, match=r'normals are \(height, width, 3\), not \(2, 3\)'):
        Nyud(root)[0]
    (root / 'normals/00001.npy').write_bytes(b'')
    with pytest.raises(DataError, match=r'normals/00001\.npy cannot be read'):
        Nyud(root)[0]
    cv2.imwrite(str(root / 'segmentation/00001.png'), np.full((20, 30), 41, np.uint8))
    with pytest.raises(DataError, match=r'00001\.png: class id 41, but there are 41 classes'):
        Nyud(root)[0]
    (root / 'edge').rmdir()
    with pytest.raises(DataError, match=r'edge is missing.*NYUD_MT\.tgz'):
        Nyud(root)
    assert len(Nyud(root, tasks=['depth'])) == 2
    with pytest.raises(ValueError, match="unknown task 'saliency', choose from: semseg"):
        Nyud(root, tasks=['saliency'])


def test_normals_that_are_no_unit_vectors_are_refused(tmp_path):
    root = make(tmp_path)
    np.save(root / 'normals/00001.npy', np.full((20, 30, 3), 200.0))
    with pytest.raises(DataError, match=r'normals/00001\.npy .*no vector has a length near 1'):
        Nyud(root)[0]
