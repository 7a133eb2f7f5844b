# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Class ids of a recording in the classes of a model."""

import numpy as np
import pytest

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.tasks import PASCAL_CLASSES, TASKS

MODEL = ('background', 'floor', 'person')


def written(tmp_path, text):
    path = tmp_path / 'classes.yaml'
    path.write_text(text)
    return path


def test_a_table_from_a_file(tmp_path):
    text = 'semseg:\n  0: background\n  7: person\n  8: ignore\n  254: floor\n'
    table = ClassMap.read(written(tmp_path, text)).table('semseg', MODEL)
    assert (table.shape, table.dtype.name) == ((256,), 'uint8')
    known = {number: int(name) for number, name in enumerate(table) if name != 255}
    assert known == {0: 0, 7: 2, 254: 1}


def test_several_classes_of_a_recording_may_be_one_of_the_model():
    table = ClassMap({'semseg': {3: 'person', 4: 'person'}}).table('semseg', MODEL)
    assert (table[3], table[4], (table != 255).sum()) == (2, 2, 2)


def test_an_unknown_class_is_named_with_those_that_are_allowed():
    classes = ClassMap({'semseg': {1: 'floor', 5: 'persn'}})
    with pytest.raises(
        ValueError, match=r"semseg 5 is 'persn', .* background, floor, person, ignor"
    ):
        classes.table('semseg', MODEL)
    with pytest.raises(ValueError, match=f"1 is 'floor'.*{PASCAL_CLASSES[-1]}, ignore"):
        classes.table('semseg', PASCAL_CLASSES)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('semseg: [', 'is not YAML: '),
        ('', "expected 'semseg:' and below it lines such as '3: floor'"),
        ('- semseg', "expected 'semseg:'"),
        ('semseg:\n- floor', "expected 'semseg:'"),
        ('depth:\n  1: floor', "class map for 'depth', choose from: semseg, human_parts"),
        ('sky:\n  1: floor', "class map for 'sky', choose from: semseg"),
        ('semseg:\n  255: floor', r"'semseg': id 255 is not in 0\.\.254"),
        ('semseg:\n  -1: floor', 'id -1 is not in'),
        ('semseg:\n  floor: 1', "id 'floor' is not in"),
        ('semseg:\n  true: floor', 'id True is not in'),
        ('semseg:\n  1.0: floor', r'id 1\.0 is not in'),
    ],
)
def test_files_that_are_no_class_map_are_named(tmp_path, text, reason):
    with pytest.raises(ValueError, match=rf'(?s)classes\.yaml.*{reason}'):
        ClassMap.read(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        ClassMap.read(tmp_path / 'nowhere.yaml')


def test_the_caller_keeps_no_hold_of_the_names():
    names = {'semseg': {1: 'floor'}}
    classes = ClassMap(names)
    names['semseg'][1] = 'wall'
    assert classes.table('semseg', MODEL)[1] == 1


def test_a_map_must_fit_the_model():
    model = {'depth': TASKS['depth'], 'semseg': TASKS['semseg'].with_classes(MODEL)}
    ClassMap().check(model)
    ClassMap({'semseg': {0: 'floor', 1: 'ignore'}}).check(model)
    with pytest.raises(ValueError, match=r"semseg 3 is 'sky'.*background, floor, person, ignore"):
        ClassMap({'semseg': {0: 'floor', 3: 'sky'}}).check(model)
    with pytest.raises(ValueError, match=r"'human_parts', which .* does not do; .*: semseg$"):
        ClassMap({'human_parts': {0: 'head'}}).check(model)
    with pytest.raises(ValueError, match='choose from: none'):
        ClassMap({'semseg': {0: 'floor'}}).check({'depth': TASKS['depth']})


def test_ids_that_are_not_in_the_map_are_counted():
    classes = ClassMap({'semseg': {0: 'floor', 1: 'ignore'}})
    ids = np.uint8([[0, 1, 2, 254], [255, 2, 2, 0]])
    assert classes.count_unmapped('semseg', ids) == {2: 3, 254: 1}
    assert classes.count_unmapped('semseg', ids[:, :2]) == {2: 1}
