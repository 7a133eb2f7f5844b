# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, and paths that are no files."""

import os
from types import SimpleNamespace

import pytest
from helpers.permissions import check_permissions

from adamtl_ros.files import check_writable, file_problem, write_file

FULL = '/dev/full'


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / 'values.json'
    write_file(path, 'old')
    write_file(path, b'new')
    assert path.read_bytes() == b'new'
    assert list(tmp_path.iterdir()) == [path]
    check_permissions(tmp_path)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'there').write_text('old')
    (tmp_path / 'link').symlink_to(tmp_path / 'there')
    write_file(tmp_path / 'link', 'new')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'there').read_text() == 'new'


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'model'
    write_file(path, 'old')

    def full(_descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'model cannot be written: No space left on device'):
        write_file(path, 'new')
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists(FULL), reason='needs /dev/full')  # noqa: PTH110
def test_a_device_is_written_to_and_not_replaced(tmp_path):
    (tmp_path / 'full').symlink_to(FULL)
    with pytest.raises(OSError, match='No space left'):
        write_file(tmp_path / 'full', 'new')
    assert (tmp_path / 'full').is_char_device()


def test_what_can_be_known_before_the_work(tmp_path, monkeypatch):
    check_writable(tmp_path / 'new', 1000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match='is a folder'):
        check_writable(tmp_path)
    with pytest.raises(OSError, match='is no folder'):
        check_writable(tmp_path / 'nowhere' / 'new')
    usage = SimpleNamespace(free=2_000_000)
    monkeypatch.setattr('shutil.disk_usage', lambda _: usage)
    with pytest.raises(OSError, match='5 MB are needed, 2 MB free'):
        check_writable(tmp_path / 'new', 5_000_000)


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'file').touch()
    assert file_problem(tmp_path / 'file') == ''
    assert file_problem(tmp_path / 'none') == 'no such file'
    assert file_problem(tmp_path) == 'no such file, but a folder'
    assert file_problem(tmp_path / 'pipe') == 'no regular file'
    assert file_problem(tmp_path / ('a' * 300)) == 'File name too long'
    assert file_problem(tmp_path / 'nul\0') == 'embedded null byte'
    assert file_problem(tmp_path / 'file' / 'below')
