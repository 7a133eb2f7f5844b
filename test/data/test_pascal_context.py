# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""PASCAL-Context, as a small folder of the same layout."""

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from adamtl_ros.data.image_folder import read_normals
from adamtl_ros.data.pascal_context import NORMALS_CLASSES, PART_IDS, PascalContext, label_edges
from adamtl_ros.labels import binary_mask, resize_nearest, unit_vectors, valid_depth
from adamtl_ros.sample import DataError, valid_mask
from adamtl_ros.tasks import PASCAL_PARTS, TASKS, label_palette

HEIGHT, WIDTH = 20, 30
FOLDERS = (
    'JPEGImages', 'ImageSets/Context', 'semseg/VOC12', 'semseg/pascal-context', 'human_parts',
    'normals_distill', 'sal_distill', 'pascal-context/trainval',
)  # fmt: skip
PERSON, DOG, GRASS, WALL = 284, 113, 187, 440


def full(value, kind=np.uint8):
    return np.full((HEIGHT, WIDTH), value, kind)


def box(rows, columns):
    mask = full(0)
    mask[rows, columns] = 1
    return mask


def things(*rows):
    """Return a struct array as MATLAB writes one; rows are (name, number, mask, parts)."""
    names = ('class', 'class_ind', 'mask', 'parts')
    return structs(names, rows) if rows else np.zeros((0, 0))


def parts(*rows):
    return structs(('part_name', 'mask'), rows) if rows else np.zeros((0, 0))


def structs(names, rows):
    array = np.empty((1, len(rows)), [(name, object) for name in names])
    for index, row in enumerate(rows):
        array[0, index] = tuple(row)
    return array


def write_parts(path, *objects):
    savemat(path, {'anno': {'imname': path.stem, 'objects': things(*objects)}})


def write_png(path, array):
    assert cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)


@pytest.fixture
def root(tmp_path):
    """Return a data set of three images, of which the last one has no labels."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'ImageSets/Context/train.txt').write_text('one\ntwo\n\nthree\n')
    (tmp_path / 'ImageSets/Context/val.txt').write_text('two\n')
    for name, color in (('one', 200), ('two', 90), ('three', 30)):
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[..., 0] = color
        write_png(tmp_path / f'JPEGImages/{name}.jpg', image)
    write_semseg(tmp_path)
    write_people(tmp_path)
    write_areas(tmp_path)
    saliency = full(127)
    saliency[:5] = 128
    write_png(tmp_path / 'sal_distill/one.png', saliency)
    return tmp_path


def write_semseg(root):
    palette = Image.fromarray(box(slice(0, 5), slice(0, 30)) * 15, 'P')
    palette.putpalette(label_palette(256).ravel().tolist())
    palette.save(root / 'semseg/VOC12/one.png')
    write_png(root / 'semseg/pascal-context/one.png', full(3))
    write_png(root / 'semseg/pascal-context/two.png', full(255))


def write_people(root):
    body = box(slice(2, 18), slice(5, 15))
    head, arm = box(slice(2, 6), slice(5, 15)), box(slice(5, 9), slice(5, 8))
    write_parts(
        root / 'human_parts/one.mat',
        ('dog', 12, full(1), parts(('head', full(1)))),
        ('person', 15, body, parts(('lear', head), ('llarm', arm))),
        ('person', 15, full(1), parts()),
    )
    write_parts(root / 'human_parts/two.mat', ('dog', 12, full(1), parts(('head', full(1)))))


def write_areas(root):
    areas = full(GRASS, np.uint16)
    areas[:, 10:] = PERSON
    savemat(root / 'pascal-context/trainval/one.mat', {'LabelMap': areas}, do_compression=True)
    savemat(root / 'pascal-context/trainval/two.mat', {'LabelMap': full(GRASS, np.uint16)})
    normals = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    normals[...] = 128, 128, 255
    normals[:, 20:] = 128, 255, 128
    normals[0] = 128
    for name in ('one', 'two'):
        write_png(root / f'normals_distill/{name}.png', normals)


def test_all_labels_of_an_image(root):
    data = PascalContext(root)
    assert list(data.tasks) == ['semseg', 'human_parts', 'normals', 'saliency', 'edges']
    assert data.tasks == {name: TASKS[name] for name in data.tasks}
    assert len(data) == 3
    sample = data[0]
    assert (sample.name, sample.image.shape, sample.image.dtype) == ('one', (20, 30, 3), np.uint8)
    np.testing.assert_allclose(sample.image.reshape(-1, 3).mean(0), [200, 0, 0], atol=3)
    assert np.isnan(sample.difficulty)
    assert list(sample.labels) == list(data.tasks)
    assert all(label.shape[:2] == (20, 30) for label in sample.labels.values())


def test_classes_of_voc_go_before_those_of_context(root):
    data = PascalContext(root, tasks=['semseg'])
    label = data[0].labels['semseg']
    assert label.dtype == np.uint8
    assert (label[:5] == 15).all()
    assert (label[5:] == 0).all()
    assert (data[1].labels['semseg'] == 255).all()


def test_parts_are_painted_in_order_and_images_without_any_are_unlabelled(root):
    data = PascalContext(root, tasks=['human_parts'])
    label = data[0].labels['human_parts']
    assert label.dtype == np.uint8
    assert (label[2, 5:15] == PASCAL_PARTS.index('head')).all()
    assert (label[5:9, 5:8] == PASCAL_PARTS.index('lower_arm')).all()
    assert label[5, 8] == PASCAL_PARTS.index('head')
    assert label[0, 0] == label[15, 10] == 0
    assert (data[1].labels['human_parts'] == 255).all()
    assert len(PART_IDS) == 24


def test_normals_face_the_camera_and_are_known_on_shared_classes_only(root):
    data = PascalContext(root, tasks=['normals'])
    label = data[0].labels['normals']
    assert (label.dtype, label.shape) == (np.float32, (20, 30, 3))
    assert np.isnan(label[:, :10]).all()
    assert np.isnan(label[0]).all()
    # Stored towards the camera: z < 0. Stored upwards: y < 0.
    for columns, expected in ((slice(10, 20), [0, 0, -1]), (slice(20, 30), [0, -1, 0])):
        vectors = label[1:, columns]
        np.testing.assert_allclose(vectors, np.broadcast_to(expected, vectors.shape), atol=6e-3)
    np.testing.assert_allclose(np.linalg.norm(label[1:, 10:], axis=-1), 1, atol=1e-6)
    assert not valid_mask('normals', data[1].labels['normals']).any()
    assert {PERSON, DOG, WALL, 427} <= set(NORMALS_CLASSES)
    assert not {GRASS, 431, 0} & set(NORMALS_CLASSES)
    assert len(NORMALS_CLASSES) == 170


def test_stored_left_up_and_forward_are_turned_round(tmp_path):
    write_png(tmp_path / 'n.png', np.uint8([[[255, 128, 128], [0, 128, 128], [128, 0, 128]]]))
    stored = read_normals(tmp_path / 'n.png')
    np.testing.assert_allclose(-stored[0], [[-1, 0, 0], [1, 0, 0], [0, 1, 0]], atol=6e-3)


def test_saliency_and_edges(root):
    sample = PascalContext(root, tasks=['edges', 'saliency'])[0]
    assert (sample.labels['saliency'] == box(slice(0, 5), slice(0, 30))).all()
    edges = sample.labels['edges']
    assert edges.dtype == np.uint8
    # Thinning may take a pixel of an end.
    assert (edges[1:].sum(1) == 1).all()
    assert edges[:, 9:11].sum() == edges.sum()
    assert not PascalContext(root, tasks=['edges'])[1].labels['edges'].any()


def test_edges_are_a_pixel_wide_on_slopes_too():
    rows, columns = np.mgrid[:40, :40]
    slope = label_edges((rows + columns > 40).astype(np.uint16))
    assert slope.sum(1).max() == 1
    assert 36 <= slope.sum() <= 40
    disc = label_edges(((rows - 20) ** 2 + (columns - 20) ** 2 < 100).astype(np.int32))
    assert 45 < disc.sum() < 75
    assert cv2.connectedComponents(disc)[0] == 2
    # No square of four is left, and inside and outside are still apart.
    assert (disc[1:, 1:] + disc[:-1, 1:] + disc[1:, :-1] + disc[:-1, :-1]).max() < 4
    assert cv2.connectedComponents(1 - disc, connectivity=4)[0] == 3


def test_labels_that_are_missing_are_left_out(root):
    data = PascalContext(root)
    assert data[2].labels == {}
    assert 'saliency' not in data[1].labels
    (root / 'pascal-context/trainval/two.mat').unlink()
    assert set(data[1].labels) == {'semseg', 'human_parts'}
    assert len(PascalContext(root, 'val')) == 1
    for index in (-1, 3):
        with pytest.raises(IndexError, match='is outside 0 to 2'):
            data[index]


def test_labels_of_another_size_are_brought_to_that_of_the_image(root):
    write_png(root / 'sal_distill/one.png', np.uint8([[0, 255], [255, 0]]))
    label = PascalContext(root, tasks=['saliency'])[0].labels['saliency']
    assert (label == np.kron([[0, 1], [1, 0]], np.ones((10, 15)))).all()


def test_missing_folders_say_where_to_get_them(root):
    (root / 'sal_distill/one.png').unlink()
    (root / 'sal_distill').rmdir()
    with pytest.raises(DataError, match=r'sal_distill is missing.*PASCAL_MT\.tgz.*leave tasks out'):
        PascalContext(root)
    assert set(PascalContext(root, tasks=['edges', 'semseg']).tasks) == {'semseg', 'edges'}
    with pytest.raises(DataError, match=r"test\.txt is missing: no split 'test', there are: train"):
        PascalContext(root, 'test', ['edges'])
    with pytest.raises(DataError, match=r'nowhere.* is missing'):
        PascalContext(root / 'nowhere')
    with pytest.raises(ValueError, match="unknown task 'depth', choose from: semseg"):
        PascalContext(root, tasks=['depth'])
    (root / 'ImageSets/Context/val.txt').write_text('\n')
    with pytest.raises(DataError, match=r'val\.txt names no images'):
        PascalContext(root, 'val', ['edges'])
    (root / 'JPEGImages/two.jpg').unlink()
    with pytest.raises(DataError, match=r'two\.jpg is missing, and with it 1 of 3 images'):
        PascalContext(root, tasks=['edges'])


@pytest.mark.parametrize(
    ('file', 'task', 'reason'),
    [
        ('JPEGImages/one.jpg', 'semseg', 'it is no image'),
        ('semseg/VOC12/one.png', 'semseg', 'cannot identify'),
        ('human_parts/one.mat', 'human_parts', 'Unknown mat file type'),
        ('pascal-context/trainval/one.mat', 'edges', 'Unknown mat file type'),
        ('normals_distill/one.png', 'normals', 'it is no image'),
        ('sal_distill/one.png', 'saliency', 'cannot identify'),
    ],
)
def test_damaged_files_are_named(root, file, task, reason):
    (root / file).write_bytes(b'not what it was before ' * 20)
    with pytest.raises(DataError, match=f'{file} cannot be read: .*{reason}.*; copy it again'):
        PascalContext(root, tasks=[task])[0]


def test_files_of_another_layout_are_named(root):
    data = PascalContext(root)
    savemat(root / 'pascal-context/trainval/one.mat', {'labels': full(1)})
    with pytest.raises(DataError, match=r"one\.mat .*there is no 'LabelMap', it holds: labels"):
        data[0]
    strange = ('person', 15, full(1), parts(('tail', full(1))))
    write_parts(root / 'human_parts/one.mat', strange)
    with pytest.raises(DataError, match=r"not laid out like PASCAL-Part \(KeyError\('tail'\)\)"):
        data[0]
    savemat(root / 'human_parts/one.mat', {'anno': full(1)})
    with pytest.raises(DataError, match=r'one\.mat .*not laid out like PASCAL-Part'):
        data[0]
    write_png(root / 'semseg/VOC12/one.png', full(21))
    with pytest.raises(
        DataError, match=r'one\.png: class id 21, but there are 21 classes, 0 to 20'
    ):
        data[0]
    write_png(root / 'semseg/VOC12/one.png', np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r'class ids are \(height, width\), not \(20, 30, 3\)'):
        data[0]
    write_png(root / 'sal_distill/one.png', np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r'saliency is \(height, width\), not \(20, 30, 3\)'):
        PascalContext(root, tasks=['saliency'])[0]


def test_missing_packages_are_named(root, monkeypatch):
    def without(name):
        raise ImportError(name)

    monkeypatch.setattr('importlib.import_module', without)
    with pytest.raises(DataError, match='this data set needs scipy: pip install scipy'):
        PascalContext(root, tasks=['edges'])[0]


def test_helpers_on_small_arrays():
    assert resize_nearest(np.arange(4).reshape(2, 2), 1, 4).tolist() == [[2, 2, 3, 3]]
    vectors = unit_vectors(np.float32([[[0, 0, 1.2], [0, 0.3, 0], [-1, -1, -1]]]))
    np.testing.assert_array_equal(vectors, [[[0, 0, 1], [np.nan] * 3, [np.nan] * 3]])
    depth = valid_depth(np.float64([0, 2, -1, np.inf]))
    np.testing.assert_array_equal(depth, np.float32([np.nan, 2, np.nan, np.nan]))
    assert (
        binary_mask(np.float32([0.4, 0.6])).tolist()
        == binary_mask(np.uint8([100, 200])).tolist()
        == [0, 1]
    )
    assert binary_mask(np.array([True, False])).tolist() == [1, 0]
