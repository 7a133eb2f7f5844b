# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The compiled loops that give what the rays met a colour, and light it, with soft shadows."""

from __future__ import annotations

import math

import numpy as np

from adamtl_ros.scenes.kernel import ROOM, casters, compiled, normal_at, shadowed, to_local

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


TILE = 8
"""Side of a square of pixels that looks for the solids which can shade it."""


@compiled
def paint(
    shapes, geometry, surfaces, room_surfaces, focal, cx, cy, depth, solid, colour, normals, faces
):
    """Fill in colour, normal and face of every pixel.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) their rows.
        surfaces: (n, 10) rows of `Surface.numbers()`.
        room_surfaces: (3, 10) those of floor, walls and ceiling.
        focal: Focal length [px].
        cx: Column of the optical axis [px].
        cy: Its row.
        depth: (H, W) from `trace()`.
        solid: (H, W) from `trace()`.
        colour: (H, W, 5) float32, to fill: RGB, shine, and the light that it gives off.
        normals: (H, W, 3) float32, to fill.
        faces: (H, W) int8, to fill: 0 to 5 is the side of a box, -x, +x, -y and so on.

    """
    height, width = depth.shape
    for v in range(height):
        for u in range(width):
            n, t = solid[v, u], depth[v, u]
            x = t * (u - cx) / focal - geometry[n, 0]
            y = t * (v - cy) / focal - geometry[n, 1]
            x, y, z = to_local(geometry, n, x, y, t - geometry[n, 2])
            nx, ny, nz, face = normal_at(shapes[n], geometry, n, x, y, z)
            normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = nx, ny, nz
            faces[v, u] = face
            surface = surfaces[n]
            if shapes[n] == ROOM:
                surface = room_surfaces[0 if face == 4 else (2 if face == 5 else 1)]
            flat = face // 2 if shapes[n] in (0, ROOM) else -1
            other = pattern_at(surface, flat, x, y, z) if surface[6] else 0.0
            for c in range(3):
                colour[v, u, c] = surface[c] + other * (surface[3 + c] - surface[c])
            colour[v, u, 3], colour[v, u, 4] = surface[8], surface[9]


@compiled
def illuminate(
    shapes, geometry, reach, lamp, focal, cx, cy, samples, depth, normals, direct, mirrored
):
    """Add the light of a lamp.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) their rows.
        reach: (n,) radius of a sphere around each.
        lamp: Position, strength, size [m].
        focal: Focal length [px].
        cx: Column of the optical axis [px].
        cy: Its row.
        samples: Squares of so many rays a side share one ray to the lamp.
        depth: (H, W) from `trace()`.
        normals: (H, W, 3) from `paint()`.
        direct: (H, W) float32, to which is added what a matt surface sends on.
        mirrored: (H, W) float32, to which is added what a shiny one mirrors.

    """
    height, width = depth.shape
    some = np.empty(len(shapes), np.int64)
    lit = np.ones((height // samples + 1, width // samples + 1), np.bool_)
    columns = (width + TILE - 1) // TILE
    for tile in range((height + TILE - 1) // TILE * columns):
        top, left = tile // columns * TILE, tile % columns * TILE
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        centre, radius = _around(focal, cx, cy, depth, top, bottom, left, right)
        count = casters(shapes, geometry, reach, centre, radius + lamp[4], lamp, some)
        for v in range(top, bottom):
            for u in range(left, right):
                t = depth[v, u]
                x, y, z = t * (u - cx) / focal, t * (v - cy) / focal, t
                nx, ny, nz = normals[v, u, 0], normals[v, u, 1], normals[v, u, 2]
                if count and v % samples == 0 and u % samples == 0:
                    # A little above the surface, so that it does not shade itself.
                    ax, ay, az = x + 2e-3 * nx, y + 2e-3 * ny, z + 2e-3 * nz
                    dx, dy, dz = _to_lamp(lamp, ax, ay, az, u + 7919 * v)
                    lit[v // samples, u // samples] = not shadowed(
                        shapes, geometry, reach, some[:count], ax, ay, az, dx, dy, dz
                    )
                if lit[v // samples, u // samples]:
                    matt, gloss = _reflected(lamp, x, y, z, nx, ny, nz)
                    direct[v, u] += matt
                    mirrored[v, u] += gloss


@compiled
def _around(focal, cx, cy, depth, top, bottom, left, right):
    """Return centre and radius of a sphere around what is seen in a tile."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for v in range(top, bottom):
        for u in range(left, right):
            t = float(depth[v, u])
            point = (t * (u - cx) / focal, t * (v - cy) / focal, 1.0 * t)
            for axis in range(3):
                low[axis] = min(low[axis], point[axis])
                high[axis] = max(high[axis], point[axis])
    extent = (high - low) / 2
    radius = math.sqrt(extent[0] ** 2 + extent[1] ** 2 + extent[2] ** 2)
    return (low + high) / 2, radius


@compiled
def _to_lamp(lamp, x, y, z, seed):
    """Return the vector to a place on the lamp, another one for every seed."""
    dx = lamp[0] + lamp[4] * (hashed(seed, 1, 2) - 0.5) - x
    dy = lamp[1] + lamp[4] * (hashed(seed, 3, 4) - 0.5) - y
    dz = lamp[2] + lamp[4] * (hashed(seed, 5, 6) - 0.5) - z
    return dx, dy, dz


@compiled
def _reflected(lamp, x, y, z, nx, ny, nz):
    """Return the light of a lamp that a matt and a shiny surface send to the camera."""
    dx, dy, dz = lamp[0] - x, lamp[1] - y, lamp[2] - z
    distance = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6
    dx, dy, dz = dx / distance, dy / distance, dz / distance
    cosine = max(dx * nx + dy * ny + dz * nz, 0.0)
    strength = lamp[3] / (1 + 0.08 * distance * distance)
    # Blinn 1977: the vector half way between lamp and eye, against the normal.
    eye = math.sqrt(x * x + y * y + z * z)
    hx, hy, hz = dx - x / eye, dy - y / eye, dz - z / eye
    half = (hx * nx + hy * ny + hz * nz) / (math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6)
    return strength * cosine, strength * (max(half, 0.0) ** 32 if cosine > 0 else 0.0)
