# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl engines`: the table that a node chooses by."""

from adamtl_ros.commands.main import main
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine


def test_the_table_names_all_engines_and_the_node_takes_the_choice(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert main(['engines', 'pico', '--threads', '1', '--device', 'cpu']) == 0
    title, heads, *rows, reason = capsys.readouterr().out.strip().splitlines()
    assert title.startswith('pico (random weights), cpu, 1 thread: ')
    assert '1.00 [ms]' in heads
    names = [' '.join(row.split()[:2]) for row in rows]
    assert names == [
        f'{engine} {precision}'
        for engine in ('torch', 'openvino')
        for precision in ('float32', 'bfloat16')
    ]
    (chosen,) = (name for name, row in zip(names, rows, strict=True) if '<-' in row)
    assert reason.startswith(f'{chosen}: ')
    node = Engine(load_model('pico'), 'cpu', engine='auto', precision='auto', threads=1, wait=False)
    assert f'{node.backend.name} {node.backend.precision}' == chosen
    assert node.selection.table().splitlines()[1:] == [heads, *rows, reason]
