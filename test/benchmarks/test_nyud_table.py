# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tables of NYUv2: what is in the page, rows by hand, and files that do not belong there."""

import json

import pytest
from nyud_table import PAGE, Published, insert, read_published, read_results, tables

PUBLISHED = Published(
    (
        {
            'network': 'Net (2020)', 'tasks': 'depth', 'compute': '1 GMAC', 'rmse': 0.5,
            'miou': 40.1, 'unchecked': ['miou'], 'paper': 'A et al., "Net", 2020', 'note': 'Read.',
        },
    ),
    {'ours': '795'},
)  # fmt: skip
DEPTH = {
    'rmse': 0.7214, 'abs_rel': 0.2, 'delta_1': 0.7,
    'rmse_per_image_eigen': 0.65, 'delta_1_per_image_eigen': 0.68,
}  # fmt: skip


def result(**changes):
    """Return the content of a file of `adamtl evaluate`."""
    row = {
        'budget': 0.57, 'macs': 0.21e9, 'input_sizes': {'192x256': 654},
        'metrics': {
            'semseg': {'miou': 0.3, 'miou_labelled': 0.312, 'miou_all': 0.304},
            'depth': DEPTH,
            'edges': {'ods_f': 0.5, 'ods_f_bsds': 0.61},
        },
    }  # fmt: skip
    floors = {'depth': 2.5, 'metrics': {'depth': {**DEPTH, 'rmse': 1.3}}}
    return {
        'model': 'ours', 'parameters': 3_400_000, 'protocol': 'nyud',
        'data': {'split': 'test'}, 'rows': [row], 'floors': floors, **changes,
    }  # fmt: skip


def cells(text, first):
    """Return the cells of the row that begins with a text."""
    (line,) = [line for line in text.splitlines() if line.startswith(f'| {first}')]
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_the_page_is_what_the_script_makes():
    text = PAGE.read_text()
    assert insert(text, tables(read_published(), read_results())) == text, (
        'run python benchmarks/nyud_table.py'
    )


def test_rows_by_hand():
    comparison, sources, *_ = tables(PUBLISHED, [result()]).split('\n\n')
    head = cells(comparison, 'network')
    published = dict(zip(head, cells(comparison, 'Net'), strict=True))
    assert published['RMSE over pixels, m'] == '0.5'
    assert published['mIoU, %'] == '40.1 (?)'
    assert published['δ1 over images'] == published['parameters'] == ''
    ours = dict(zip(head, cells(comparison, '**ours**, budget 0.57'), strict=True))
    assert ours == {
        'network': '**ours**, budget 0.57',
        'tasks': 'semseg, depth, edges',
        'training photographs': '795',
        'input': '192x256',
        'compute': '0.210 GMAC',
        'parameters': '3.40 M',
        'RMSE over pixels, m': '0.721',
        'RMSE over images, m': '0.650',
        'δ1 over images': '0.680',
        'mIoU, %': '31.2',
        'normals, mean °': '',
        'edges, ODS F %': '61.0',
    }
    floor = dict(zip(head, cells(comparison, 'no network: 2.50 m everywhere'), strict=True))
    assert (floor['RMSE over pixels, m'], floor['compute']) == ('1.300', '')
    assert sources == '* **Net (2020)**: A et al., "Net", 2020. Read.'


def test_all_values_of_a_task_stand_in_a_table_of_their_own():
    text = tables(PUBLISHED, [result()])
    semseg, depth, edges = text.split('\n\n')[2:]
    assert cells(semseg, 'semseg') == ['semseg', 'miou_labelled', 'miou_all', 'pixel_accuracy']
    assert cells(semseg, '**ours**') == ['**ours**, budget 0.57', '0.312', '0.304', '']
    assert cells(depth, '**ours**')[1:4] == ['0.721', '0.200', '0.700']
    assert cells(depth, 'no network')[1] == '1.300'
    assert cells(edges, '**ours**')[1:] == ['0.500', '0.610']
    assert 'no network' not in semseg + edges


def test_other_models_and_missing_values():
    text = tables(PUBLISHED, [result(model='new', floors={'depth': None, 'metrics': {}})])
    assert cells(text.split('\n\n')[0], '**new**')[2] == '?'
    assert cells(text.split('\n\n')[0], 'no network')[0] == 'no network: normals towards the camera'


def test_equal_constant_answers_stand_there_once():
    comparison, _, _, depth, _ = tables(PUBLISHED, [result(), result(model='new')]).split('\n\n')
    for text in (comparison, depth):
        assert text.count('| no network: 2.50 m everywhere') == 1
        assert text.count('| **ours**') == text.count('| **new**') == 1


def test_published_rows_have_sources():
    for row in read_published().rows:
        assert row['paper']
        assert row['note']
    with pytest.raises(ValueError, match=r"Net: unknown \['rsme'\], missing \['note', 'paper'\]"):
        Published(({'network': 'Net', 'rsme': 1},), {})
    with pytest.raises(ValueError, match=r"unknown \['miou'\]"):
        Published(({'network': 'N', 'paper': 'P', 'note': '', 'unchecked': ['miou']},), {})


@pytest.mark.parametrize(
    'changes', [{'protocol': 'standard'}, {'data': {'split': 'train'}}], ids=['protocol', 'split']
)
def test_files_of_other_evaluations_are_refused(tmp_path, changes):
    (tmp_path / 'a.json').write_text(json.dumps(result(**changes)))
    with pytest.raises(ValueError, match=r"ours was scored on .*; the table takes 'test' and"):
        read_results(tmp_path)
    (tmp_path / 'a.json').write_text(json.dumps(result()))
    assert read_results(tmp_path) == [result()]


def test_a_page_needs_the_marks():
    page = 'a\n<!-- by benchmarks/nyud_table.py -->\nold\n<!-- end -->\nb'
    once = insert(page, 'new')
    assert once == 'a\n<!-- by benchmarks/nyud_table.py -->\n\nnew\n\n<!-- end -->\nb'
    assert insert(once, 'new') == once
    with pytest.raises(ValueError, match='lacks'):
        insert('a', 'new')
