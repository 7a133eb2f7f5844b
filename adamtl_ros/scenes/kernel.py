# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The compiled inner loops of the ray caster: which solid each ray meets first, and where.

Everything is in the camera's optical frame (x right, y down, z forward, REP-103), with rays
(x, y, 1) from the origin, so that the distance along a ray is the depth of REP-118.

Row n of `geometry` holds centre (3), half sizes (3) and the axes (9) of a solid.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BOX, ELLIPSOID, CAPSULE, ROOM = 0, 1, 2, 3
NOTHING = np.inf
NEAR = 0.05

# Not all of fastmath: misses are infinite.
compiled = njit(
    cache=True, nogil=True, error_model='numpy', fastmath={'reassoc', 'contract', 'arcp', 'nsz'}
)


@compiled
def to_local(geometry, n, x, y, z):
    """Turn a vector into the frame of a solid."""
    return (
        geometry[n, 6] * x + geometry[n, 7] * y + geometry[n, 8] * z,
        geometry[n, 9] * x + geometry[n, 10] * y + geometry[n, 11] * z,
        geometry[n, 12] * x + geometry[n, 13] * y + geometry[n, 14] * z,
    )


@compiled
def _slab(o, d, half):
    """Distances at which a ray enters and leaves the space between two planes."""
    if abs(d) < 1e-9:
        return (-1e30, 1e30) if abs(o) < half else (1e30, -1e30)
    a, b = (-half - o) / d, (half - o) / d
    return (a, b) if a < b else (b, a)


@compiled
def hit_box(geometry, n, ox, oy, oz, dx, dy, dz, inside):
    """Distance to a box, or to its far side for who is inside."""
    ax, bx = _slab(ox, dx, geometry[n, 3])
    ay, by = _slab(oy, dy, geometry[n, 4])
    az, bz = _slab(oz, dz, geometry[n, 5])
    near, far = max(ax, ay, az), min(bx, by, bz)
    if near > far:
        return NOTHING
    return far if inside else near


@compiled
def _hit_sphere(ox, oy, oz, dx, dy, dz, radius):
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    root = b * b - a * (ox * ox + oy * oy + oz * oz - radius * radius)
    return NOTHING if root < 0 else (-b - math.sqrt(root)) / a


@compiled
def hit_ellipsoid(geometry, n, ox, oy, oz, dx, dy, dz):
    """Distance to an ellipsoid: to the unit sphere, with its sizes scaled away."""
    x, y, z = geometry[n, 3], geometry[n, 4], geometry[n, 5]
    return _hit_sphere(ox / x, oy / y, oz / z, dx / x, dy / y, dz / z, 1.0)


@compiled
def hit_capsule(geometry, n, ox, oy, oz, dx, dy, dz):
    """Distance to a capsule: its side, or the nearer of its caps."""
    radius, half = geometry[n, 3], geometry[n, 5]
    a = dx * dx + dy * dy
    best = NOTHING
    if a > 1e-12:
        b = ox * dx + oy * dy
        root = b * b - a * (ox * ox + oy * oy - radius * radius)
        if root < 0:
            return NOTHING
        side = (-b - math.sqrt(root)) / a
        if abs(oz + side * dz) <= half:
            return side
    for end in (-half, half):
        cap = _hit_sphere(ox, oy, oz - end, dx, dy, dz, radius)
        best = min(best, cap)
    return best


@compiled
def hit(shape, geometry, n, ox, oy, oz, dx, dy, dz):
    """Distance along a ray to a solid; infinite if it misses."""
    ox, oy, oz = to_local(
        geometry, n, ox - geometry[n, 0], oy - geometry[n, 1], oz - geometry[n, 2]
    )
    dx, dy, dz = to_local(geometry, n, dx, dy, dz)
    if shape == ELLIPSOID:
        return hit_ellipsoid(geometry, n, ox, oy, oz, dx, dy, dz)
    if shape == CAPSULE:
        return hit_capsule(geometry, n, ox, oy, oz, dx, dy, dz)
    return hit_box(geometry, n, ox, oy, oz, dx, dy, dz, shape == ROOM)


@compiled
def screen_range(centre, reach, depth, focal, middle, size):
    """First and last pixel plus one that a sphere can cover along one axis of the image."""
    if depth - reach < NEAR:
        return 0, size
    # The extreme directions of a sphere, by the angle of its centre and the one it spans.
    angle = math.atan2(centre, depth)
    span = math.asin(min(1.0, reach / math.sqrt(centre * centre + depth * depth)))
    low, high = max(angle - span, -1.5), min(angle + span, 1.5)
    first = math.floor(middle + focal * math.tan(low))
    last = math.ceil(middle + focal * math.tan(high)) + 1
    return max(0, min(first, size)), max(0, min(last, size))


@compiled
def trace(shapes, geometry, reach, focal, cx, cy, depth, solid):
    """Fill in depth and number of the nearest solid for each pixel.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) their rows.
        reach: (n,) radius of a sphere around each.
        focal: Focal length [px].
        cx: Column of the optical axis [px].
        cy: Its row.
        depth: (H, W) float32, filled with infinity before.
        solid: (H, W) int16, filled with 0, the room, before.

    """
    height, width = depth.shape
    for index in range(len(shapes)):
        first_x, last_x, first_y, last_y = 0, width, 0, height
        if shapes[index] != ROOM:
            if geometry[index, 2] + reach[index] < NEAR:
                continue
            first_x, last_x = screen_range(
                geometry[index, 0], reach[index], geometry[index, 2], focal, cx, width
            )
            first_y, last_y = screen_range(
                geometry[index, 1], reach[index], geometry[index, 2], focal, cy, height
            )
        for v in range(first_y, last_y):
            dy = (v - cy) / focal
            for u in range(first_x, last_x):
                t = hit(shapes[index], geometry, index, 0.0, 0.0, 0.0, (u - cx) / focal, dy, 1.0)
                if NEAR < t < depth[v, u]:
                    depth[v, u] = t
                    solid[v, u] = index


@compiled
def normal_at(shape, geometry, n, x, y, z):
    """Return the unit normal (camera frame) and the face of a box at a point of its own frame."""
    a, b, c = x / geometry[n, 3], y / geometry[n, 4], z / geometry[n, 5]
    face = 0
    if shape == ELLIPSOID:
        a, b, c = a / geometry[n, 3], b / geometry[n, 4], c / geometry[n, 5]
    elif shape == CAPSULE:
        a, b, c = x, y, z - min(max(z, -geometry[n, 5]), geometry[n, 5])
    else:
        face = 0 if abs(a) >= abs(b) and abs(a) >= abs(c) else (1 if abs(b) >= abs(c) else 2)
        value = (a, b, c)[face]
        sign = 1.0 if value > 0 else -1.0
        if shape == ROOM:
            sign = -sign
        a, b, c = sign * (face == 0), sign * (face == 1), sign * (face == 2)
        face = 2 * face + (1 if value > 0 else 0)
    length = math.sqrt(a * a + b * b + c * c) + 1e-12
    a, b, c = a / length, b / length, c / length
    return (
        geometry[n, 6] * a + geometry[n, 9] * b + geometry[n, 12] * c,
        geometry[n, 7] * a + geometry[n, 10] * b + geometry[n, 13] * c,
        geometry[n, 8] * a + geometry[n, 11] * b + geometry[n, 14] * c,
        face,
    )


@compiled
def _in_reach(geometry, reach, n, px, py, pz, dx, dy, dz, radius):
    """Whether the line from a point along a vector passes a solid closely."""
    cx, cy, cz = geometry[n, 0] - px, geometry[n, 1] - py, geometry[n, 2] - pz
    along = (cx * dx + cy * dy + cz * dz) / (dx * dx + dy * dy + dz * dz)
    along = min(max(along, 0.0), 1.0)
    ex, ey, ez = cx - along * dx, cy - along * dy, cz - along * dz
    near = reach[n] + radius
    return ex * ex + ey * ey + ez * ez < near * near


@compiled
def casters(shapes, geometry, reach, centre, radius, light, found):
    """Find the solids that can throw a shadow from a light into a sphere.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) their rows.
        reach: (n,) radius of a sphere around each.
        centre: Of the sphere.
        radius: Of the sphere, with that of the light.
        light: Position.
        found: (n,) filled with their numbers.

    Returns:
        How many there are.

    """
    px, py, pz = centre
    dx, dy, dz = light[0] - px, light[1] - py, light[2] - pz
    count = 0
    for n in range(len(shapes)):
        if shapes[n] != ROOM and _in_reach(geometry, reach, n, px, py, pz, dx, dy, dz, radius):
            found[count] = n
            count += 1
    return count


@compiled
def shadowed(shapes, geometry, reach, some, px, py, pz, dx, dy, dz):
    """Whether one of some solids lies between a point and a light, which is a vector away."""
    for n in some:
        if _in_reach(geometry, reach, n, px, py, pz, dx, dy, dz, 0.0):
            if 1e-4 < hit(shapes[n], geometry, n, px, py, pz, dx, dy, dz) < 1.0:
                return True
    return False
