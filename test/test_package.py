# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The package as it is found and imported."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('adamtl_ros.msg', reason='needs the built messages of adamtl_ros')


def test_messages_are_found_from_within_the_checkout():
    """There the source folder comes before the installed package."""
    code = 'import adamtl_ros; from adamtl_ros.msg import ComputeStats; print(adamtl_ros.__file__)'
    root = Path(__file__).resolve().parent.parent
    output = subprocess.check_output([sys.executable, '-c', code], text=True, cwd=root)
    assert Path(output.strip()) == root / 'adamtl_ros' / '__init__.py'
