# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The cache folder: place, damage, size."""

import os
from pathlib import Path

from adamtl_ros.engines import cache
from adamtl_ros.engines.cache import CacheFolder, default_folder, key_of


def test_content_comes_back(tmp_path):
    folder = CacheFolder(tmp_path / 'new' / 'folder')
    assert folder.load('a') is None
    folder.save('a', b'content')
    assert folder.load('a') == b'content'
    assert CacheFolder(folder.folder).load('a') == b'content'


def test_damage_is_found(tmp_path, caplog):
    folder = CacheFolder(tmp_path)
    folder.save('a', b'content')
    whole = (tmp_path / 'a').read_bytes()
    for damaged in (whole[:-1], whole[:10], whole[:-1] + b'?'):
        (tmp_path / 'a').write_bytes(damaged)
        assert folder.load('a') is None
    assert caplog.text.count('is damaged') == 3


def test_the_files_that_were_not_used_for_longest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, 'MAX_BYTES', 3 * (100 + cache.DIGEST_BYTES))
    folder = CacheFolder(tmp_path)
    for age, name in enumerate('cba'):
        folder.save(name, bytes(100))
        os.utime(tmp_path / name, (age, age))
    assert folder.load('c') is not None  # which is now the latest
    folder.save('d', bytes(100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'c', 'd']


def test_place_of_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_folder() == tmp_path / 'adamtl_ros'
    for value in ('', 'relative/is/invalid'):
        monkeypatch.setenv('XDG_CACHE_HOME', value)
        assert default_folder() == Path.home() / '.cache' / 'adamtl_ros'


def test_keys_tell_values_apart():
    keys = {key_of(1, 2), key_of(12), key_of('1', '2'), key_of([1, 2]), key_of(2, 1)}
    assert len(keys) == 5
    assert key_of({'a': 1, 'b': 2}) == key_of({'b': 2, 'a': 1})
