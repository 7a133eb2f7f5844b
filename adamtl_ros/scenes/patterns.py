# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Patterns of two colours in space, compiled."""

from __future__ import annotations

import math

import numpy as np

from adamtl_ros.scenes.kernel import compiled

PLAIN, CHECKER, STRIPES, NOISE, PLANKS, DOTS = 0, 1, 2, 3, 4, 5


@compiled
def hashed(a, b, c):
    """Return a number in 0..1 that looks random for whole numbers."""
    value = np.uint32(a) * np.uint32(0x9E3779B1)
    value ^= np.uint32(b) * np.uint32(0x85EBCA77)
    value ^= np.uint32(c) * np.uint32(0xC2B2AE3D)
    value ^= value >> np.uint32(15)
    value *= np.uint32(0x2C1B3C6D)
    value ^= value >> np.uint32(12)
    value *= np.uint32(0x297A2D39)
    value ^= value >> np.uint32(15)
    return (value & np.uint32(0xFFFFFF)) / 16777216.0


@compiled
def value_noise(x, y, z):
    """Random numbers at whole points, and smooth in between."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for corner in range(8):
        a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
        total += weight * hashed(np.int64(i) + a, np.int64(j) + b, np.int64(k) + c)
    return total


@compiled
def blend(pattern, x, y, z):
    """Share of the second colour at a point, in lengths of the pattern."""
    if pattern == CHECKER:
        return float((math.floor(x + 0.013) + math.floor(y + 0.013) + math.floor(z + 0.013)) % 2)
    if pattern == STRIPES:
        return float(math.floor(2 * z + 0.013) % 2)
    if pattern == NOISE:
        return 0.65 * value_noise(x, y, z) + 0.35 * value_noise(3.1 * x, 3.1 * y, 3.1 * z)
    if pattern == PLANKS:
        plank = math.floor(x)
        grain = value_noise(9 * x, 0.7 * y + 7.0 * plank, 5 * z)
        seam = 1.0 if x - plank < 0.04 else 0.0
        return max(seam, 0.5 * hashed(np.int64(plank), 3, 5) + 0.4 * grain)
    if pattern == DOTS:
        a, b, c = x - math.floor(x) - 0.5, y - math.floor(y) - 0.5, z - math.floor(z) - 0.5
        return 1.0 if a * a + b * b + c * c < 0.12 else 0.0
    return 0.0


@compiled
def pattern_at(surface, flat, x, y, z):
    """Share of the second colour at a point of a solid's own frame [m].

    Args:
        surface: Row of the solid's surface.
        flat: Axis across which the pattern does not change, -1 if there is none: a face of a
            box would else show the pattern's seams wherever its own plane happens to cut it.
        x: Point.
        y: Point.
        z: Point.

    """
    scale = surface[7]
    x, y, z = x / scale, y / scale, z / scale
    if flat == 0:
        return blend(surface[6], y, z, z if surface[6] == STRIPES else 0.5)
    if flat == 1:
        return blend(surface[6], x, z, z if surface[6] == STRIPES else 0.5)
    if flat == 2:
        return blend(surface[6], x, y, x if surface[6] == STRIPES else 0.5)
    return blend(surface[6], x, y, z)
