# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Permissions of output files."""

import os


def check_permissions(folder):
    """Check that the files in a folder have the permissions of the umask, as open() gives them."""
    mask = os.umask(0)
    os.umask(mask)
    modes = {path: path.stat().st_mode & 0o666 for path in folder.rglob('*') if path.is_file()}
    assert modes == dict.fromkeys(modes, 0o666 & ~mask)
