# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Findings of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad a finding is."""

    OK = 'OK'
    WARN = 'WARN'
    ERROR = 'ERROR'


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        level: How bad it is.
        subject: What was checked.
        text: What was found.
        fix: What to do; empty if nothing.

    """

    level: Level
    subject: str
    text: str
    fix: str = ''

    def __str__(self) -> str:
        fix = f'\n      -> {self.fix}' if self.fix else ''
        return f'{self.level.value:5} {self.subject}: {self.text}{fix}'


def ok(subject: str, text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, fix: str) -> Finding:
    """Return a finding that costs something."""
    return Finding(Level.WARN, subject, text, fix)


def error(subject: str, text: str, fix: str) -> Finding:
    """Return a finding with which the node does not work."""
    return Finding(Level.ERROR, subject, text, fix)
