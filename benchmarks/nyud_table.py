# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tables of results on NYUv2 beside published ones, written into `docs/benchmarks.md`.

    adamtl evaluate --config benchmarks/recipes/nyud.yaml --protocol nyud --floors ...
    python benchmarks/nyud_table.py

Our numbers come from the files that `adamtl evaluate --out` wrote into `benchmarks/nyud`, in the
order of their names; the published ones, with their sources, from `published.yaml` there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Values = Mapping[str, Any]

ROOT = Path(__file__).resolve().parent
PAGE = ROOT.parent / 'docs' / 'benchmarks.md'
BEGIN, END = '<!-- by benchmarks/nyud_table.py -->', '<!-- end -->'
UNCHECKED = ' (?)'
"""Mark of a published entry that no source at hand confirmed."""

COLUMNS = {
    'network': 'network',
    'tasks': 'tasks',
    'photographs': 'training photographs',
    'input': 'input',
    'compute': 'compute',
    'parameters': 'parameters',
    'rmse': 'RMSE over pixels, m',
    'rmse_per_image': 'RMSE over images, m',
    'delta_1': 'δ1 over images',
    'miou': 'mIoU, %',
    'mean_angle': 'normals, mean °',
    'ods_f': 'edges, ODS F %',
}
"""Titles of the first table by entry of a row."""
SHOWN = {
    'semseg': ('miou_labelled', 'miou_all', 'pixel_accuracy'),
    'depth': (
        'rmse', 'abs_rel', 'delta_1', 'delta_2', 'delta_3', 'log10', 'log_rmse',
        'rmse_per_image_eigen', 'abs_rel_per_image_eigen', 'delta_1_per_image_eigen',
    ),
    'normals': ('mean_angle', 'median_angle', 'within_11.25', 'within_22.5', 'within_30'),
    'edges': ('ods_f', 'ods_f_bsds'),
}  # fmt: skip
"""Values of the other tables by task, as in the files."""


@dataclass(frozen=True)
class Published:
    """Content of `published.yaml`.

    Attributes:
        rows: Published rows; see the file.
        ours: Training photographs of our models by name, in words.

    """

    rows: tuple[Values, ...]
    ours: Mapping[str, str]

    def __post_init__(self) -> None:
        """Check the rows.

        Raises:
            ValueError: A row with an unknown entry, or without its source.

        """
        for row in self.rows:
            wrong = row.keys() - {*COLUMNS, 'paper', 'note', 'unchecked'}
            wrong |= set(row.get('unchecked', ())) - row.keys()
            missing = {'network', 'paper', 'note'} - row.keys()
            if wrong or missing:
                raise ValueError(
                    f'{row.get("network")}: unknown {sorted(wrong)}, missing {sorted(missing)}'
                )


def read_published(path: Path = ROOT / 'nyud' / 'published.yaml') -> Published:
    """Read the published rows."""
    content = yaml.safe_load(path.read_text())
    return Published(tuple(content['rows']), content['ours'])


def read_results(folder: Path = ROOT / 'nyud') -> list[dict[str, Any]]:
    """Return the files of `adamtl evaluate`, in the order of their names.

    Raises:
        ValueError: A file of another protocol or other data.

    """
    results = [json.loads(path.read_text()) for path in sorted(folder.glob('*.json'))]
    for result in results:
        protocol, split = result['protocol'], result['data']['split']
        if (protocol, split) != ('nyud', 'test'):
            raise ValueError(
                f"{result['model']} was scored on '{split}' by the protocol '{protocol}'; the "
                "table takes 'test' and 'nyud'"
            )
    return results


def tables(published: Published, results: Sequence[Values]) -> str:
    """Return all tables and the list of sources, in Markdown."""
    rows = [_marked(row) for row in published.rows]
    for result in results:
        rows += _comparables(result, published.ours.get(result['model'], '?'))
    cells = ([row.get(name, '') for name in COLUMNS] for row in rows)
    values = [_values(task, names, results) for task, names in SHOWN.items()]
    sources = [f'* **{row["network"]}**: {row["paper"]}. {row["note"]}' for row in published.rows]
    parts = [_table(list(COLUMNS.values()), cells), '\n'.join(sources), *values]
    return '\n\n'.join(part for part in parts if part)


def insert(page: str, text: str) -> str:
    """Return a page with a text in place of what stands between the two marks.

    Raises:
        ValueError: A page without the marks.

    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks '{BEGIN}' and '{END}' behind it")
    return f'{before}{BEGIN}\n\n{text}\n\n{END}{after}'


def _marked(row: Values) -> dict[str, str]:
    """Return a published row as text, with marks at what was not checked."""
    marks = dict.fromkeys(row.get('unchecked', ()), UNCHECKED)
    return {name: f'{row[name]}{marks.get(name, "")}' for name in COLUMNS if name in row}


def _comparables(result: Values, photographs: str) -> list[dict[str, str]]:
    """Return our rows of the first table: one for each budget, and the constant answers."""
    rows = [
        {
            'network': _name(result, row),
            'tasks': ', '.join(row['metrics']),
            'photographs': photographs,
            'input': ', '.join(row['input_sizes']),
            'compute': f'{row["macs"] / 1e9:.3f} GMAC',
            'parameters': f'{result["parameters"] / 1e6:.2f} M',
            **_headlines(row['metrics']),
        }
        for row in result['rows']
    ]
    if 'floors' in result:
        floors = result['floors']
        rows.append({'network': _constant(result), **_headlines(floors['metrics'])})
    return rows


def _headlines(metrics: Mapping[str, Values]) -> dict[str, str]:
    def number(task: str, name: str, form: str, scale: float = 1) -> str:
        value = metrics.get(task, {}).get(name)
        return '' if value is None else format(scale * value, form)

    return {
        'rmse': number('depth', 'rmse', '.3f'),
        'rmse_per_image': number('depth', 'rmse_per_image_eigen', '.3f'),
        'delta_1': number('depth', 'delta_1_per_image_eigen', '.3f'),
        'miou': number('semseg', 'miou_labelled', '.1f', 100),
        'mean_angle': number('normals', 'mean_angle', '.1f'),
        'ods_f': number('edges', 'ods_f_bsds', '.1f', 100),
    }


def _values(task: str, names: Sequence[str], results: Sequence[Values]) -> str:
    """Return the table of all values of a task; empty if there is none."""
    lines = []
    for result in results:
        rows = [(_name(result, row), row['metrics']) for row in result['rows']]
        if 'floors' in result:
            rows.append((_constant(result), result['floors']['metrics']))
        lines += [[name, *_numbers(values[task], names)] for name, values in rows if task in values]
    return _table([task, *names], lines) if lines else ''


def _numbers(values: Values, names: Iterable[str]) -> list[str]:
    known = ((name, values.get(name)) for name in names)
    return ['' if v is None else f'{v:.2f}' if 'angle' in n else f'{v:.3f}' for n, v in known]


def _name(result: Values, row: Values) -> str:
    return f'**{result["model"]}**, budget {row["budget"]:g}'


def _constant(result: Values) -> str:
    depth = result['floors']['depth']
    known = '' if depth is None else f'{depth:.2f} m everywhere, '
    return f'no network: {known}normals towards the camera'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (f'| {" | ".join(line)} |' for line in (heads, ['---'] * len(heads), *rows))
    return '\n'.join(dict.fromkeys(lines))  # equal constant answers of several files, once


def main() -> None:
    """Write the tables into the page."""
    text = tables(read_published(), read_results())
    PAGE.write_text(insert(PAGE.read_text(), text))


if __name__ == '__main__':
    main()
