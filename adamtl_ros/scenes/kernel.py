# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the ray caster: intersection, surface colors, lamps with soft shadows.

`trace()` finds the solid that each ray meets first, `paint()` its color and normal, and
`illuminate()` adds the light of a lamp.

Everything is in the camera's optical frame (x right, y down, z forward, REP-103), with rays
(x, y, 1) from the origin, so that the distance along a ray is the depth of REP-118.

Row n of `geometry` holds center (3), half sizes (3) and the axes (9) of a solid.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BOX, ELLIPSOID, CAPSULE, ROOM = 0, 1, 2, 3
PLAIN, CHECKER, STRIPES, NOISE, PLANKS, DOTS = 0, 1, 2, 3, 4, 5
NOTHING = np.inf
NEAR = 0.05
TILE = 8
"""Side of the square of pixels that share a search for shadow casters [px]."""

# Not all of fastmath: misses are infinite.
compiled = njit(
    cache=True, nogil=True, error_model='numpy', fastmath={'reassoc', 'contract', 'arcp', 'nsz'}
)


@compiled
def to_local(geometry, n, x, y, z):
    """Transform a vector to the frame of a solid."""
    return (
        geometry[n, 6] * x + geometry[n, 7] * y + geometry[n, 8] * z,
        geometry[n, 9] * x + geometry[n, 10] * y + geometry[n, 11] * z,
        geometry[n, 12] * x + geometry[n, 13] * y + geometry[n, 14] * z,
    )


@compiled
def _slab(o, d, half):
    """Return the distances at which a ray enters and leaves the slab between two planes."""
    if abs(d) < 1e-9:
        return (-1e30, 1e30) if abs(o) < half else (1e30, -1e30)
    a, b = (-half - o) / d, (half - o) / d
    return (a, b) if a < b else (b, a)


@compiled
def hit_box(geometry, n, ox, oy, oz, dx, dy, dz, inside):
    """Return the distance to a box, or to its far side from inside."""
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
    """Return the distance to an ellipsoid: to the unit sphere, after scaling by its sizes."""
    x, y, z = geometry[n, 3], geometry[n, 4], geometry[n, 5]
    return _hit_sphere(ox / x, oy / y, oz / z, dx / x, dy / y, dz / z, 1.0)


@compiled
def hit_capsule(geometry, n, ox, oy, oz, dx, dy, dz):
    """Return the distance to a capsule: to its side, or the nearer of its caps."""
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
    """Return the distance along a ray to a solid; infinite if it misses."""
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
def screen_range(center, reach, depth, focal, middle, size):
    """Return the range of pixels that a sphere can cover along one axis of the image."""
    if depth - reach < NEAR:
        return 0, size
    # The extreme directions of a sphere, by the angle of its center and the one it spans.
    angle = math.atan2(center, depth)
    span = math.asin(min(1.0, reach / math.sqrt(center * center + depth * depth)))
    low, high = max(angle - span, -1.5), min(angle + span, 1.5)
    first = math.floor(middle + focal * math.tan(low))
    last = math.ceil(middle + focal * math.tan(high)) + 1
    return max(0, min(first, size)), max(0, min(last, size))


@compiled
def trace(shapes, geometry, reach, focal, cx, cy, depth, solid):
    """Compute depth and index of the nearest solid for each pixel, in place.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) row of each solid.
        reach: (n,) radius of the bounding sphere of each solid [m].
        focal: Focal length [px].
        cx: Column of the optical axis [px].
        cy: Row of the optical axis [px].
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
    """Return whether a line from a point along a vector meets the bounding sphere of a solid."""
    cx, cy, cz = geometry[n, 0] - px, geometry[n, 1] - py, geometry[n, 2] - pz
    along = (cx * dx + cy * dy + cz * dz) / (dx * dx + dy * dy + dz * dz)
    along = min(max(along, 0.0), 1.0)
    ex, ey, ez = cx - along * dx, cy - along * dy, cz - along * dz
    near = reach[n] + radius
    return ex * ex + ey * ey + ez * ez < near * near


@compiled
def casters(shapes, geometry, reach, center, radius, light, found):
    """Find the solids that can cast a shadow from a light into a sphere.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) row of each solid.
        reach: (n,) radius of the bounding sphere of each solid [m].
        center: Center of the sphere [m].
        radius: Radius of the sphere plus that of the light [m].
        light: Position of the light [m].
        found: (n,) output for the indices of the solids.

    Returns:
        Number of solids found.

    """
    px, py, pz = center
    dx, dy, dz = light[0] - px, light[1] - py, light[2] - pz
    count = 0
    for n in range(len(shapes)):
        if shapes[n] != ROOM and _in_reach(geometry, reach, n, px, py, pz, dx, dy, dz, radius):
            found[count] = n
            count += 1
    return count


@compiled
def shadowed(shapes, geometry, reach, some, px, py, pz, dx, dy, dz):
    """Return whether one of some solids is between a point and a light at a relative vector."""
    for n in some:
        if _in_reach(geometry, reach, n, px, py, pz, dx, dy, dz, 0.0):
            if 1e-4 < hit(shapes[n], geometry, n, px, py, pz, dx, dy, dz) < 1.0:
                return True
    return False


@compiled
def hashed(a, b, c):
    """Return a pseudo-random number in 0..1 from three integers."""
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
    """Return smooth noise: pseudo-random at integer points, interpolated in between."""
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
    """Return the fraction of the second color at a point, in lengths of the pattern."""
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
    """Return the fraction of the second color at a point in the frame of a solid.

    Args:
        surface: Row of the surface.
        flat: Axis across which the pattern is constant, -1 if none: else a face of a box would
            show seams wherever its plane happens to cut the pattern.
        x: First coordinate [m].
        y: Second coordinate [m].
        z: Third coordinate [m].

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


@compiled
def paint(
    shapes, geometry, surfaces, room_surfaces, focal, cx, cy, depth, solid, color, normals, faces
):
    """Compute color, normal and face of every pixel, in place.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) row of each solid.
        surfaces: (n, 10) rows of `Surface.to_row()`.
        room_surfaces: (3, 10) rows of floor, walls and ceiling.
        focal: Focal length [px].
        cx: Column of the optical axis [px].
        cy: Row of the optical axis [px].
        depth: (H, W) from `trace()`.
        solid: (H, W) from `trace()`.
        color: (H, W, 5) float32 output: RGB, shine, glow.
        normals: (H, W, 3) float32 output.
        faces: (H, W) int8 output: side of a box, 0 to 5 for -x, +x, -y and so on.

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
                color[v, u, c] = surface[c] + other * (surface[3 + c] - surface[c])
            color[v, u, 3], color[v, u, 4] = surface[8], surface[9]


@compiled
def illuminate(
    shapes, geometry, reach, lamp, focal, cx, cy, samples, depth, normals, direct, specular
):
    """Add the light of a lamp, in place.

    Args:
        shapes: (n,) shape of each solid.
        geometry: (n, 15) row of each solid.
        reach: (n,) radius of the bounding sphere of each solid [m].
        lamp: (5,) position [m], strength, size [m].
        focal: Focal length [px].
        cx: Column of the optical axis [px].
        cy: Row of the optical axis [px].
        samples: Side of the square of rays that share one shadow ray.
        depth: (H, W) from `trace()`.
        normals: (H, W, 3) from `paint()`.
        direct: (H, W) float32 diffuse light, added to.
        specular: (H, W) float32 specular light, added to.

    """
    height, width = depth.shape
    some = np.empty(len(shapes), np.int64)
    lit = np.ones((height // samples + 1, width // samples + 1), np.bool_)
    columns = (width + TILE - 1) // TILE
    for tile in range((height + TILE - 1) // TILE * columns):
        top, left = tile // columns * TILE, tile % columns * TILE
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        center, radius = _around(focal, cx, cy, depth, top, bottom, left, right)
        count = casters(shapes, geometry, reach, center, radius + lamp[4], lamp, some)
        for v in range(top, bottom):
            for u in range(left, right):
                t = depth[v, u]
                x, y, z = t * (u - cx) / focal, t * (v - cy) / focal, t
                nx, ny, nz = normals[v, u, 0], normals[v, u, 1], normals[v, u, 2]
                if count and v % samples == 0 and u % samples == 0:
                    # Slightly above the surface, to avoid self-shadowing.
                    ax, ay, az = x + 2e-3 * nx, y + 2e-3 * ny, z + 2e-3 * nz
                    dx, dy, dz = _to_lamp(lamp, ax, ay, az, u + 7919 * v)
                    lit[v // samples, u // samples] = not shadowed(
                        shapes, geometry, reach, some[:count], ax, ay, az, dx, dy, dz
                    )
                if lit[v // samples, u // samples]:
                    diffuse, gloss = _reflected(lamp, x, y, z, nx, ny, nz)
                    direct[v, u] += diffuse
                    specular[v, u] += gloss


@compiled
def _around(focal, cx, cy, depth, top, bottom, left, right):
    """Return center and radius of the bounding sphere of the visible points of a tile."""
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
    """Return the vector from a point to a point on the lamp that depends on a seed."""
    dx = lamp[0] + lamp[4] * (hashed(seed, 1, 2) - 0.5) - x
    dy = lamp[1] + lamp[4] * (hashed(seed, 3, 4) - 0.5) - y
    dz = lamp[2] + lamp[4] * (hashed(seed, 5, 6) - 0.5) - z
    return dx, dy, dz


@compiled
def _reflected(lamp, x, y, z, nx, ny, nz):
    """Return the diffuse and the specular light of a lamp towards the camera."""
    dx, dy, dz = lamp[0] - x, lamp[1] - y, lamp[2] - z
    distance = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6
    dx, dy, dz = dx / distance, dy / distance, dz / distance
    cosine = max(dx * nx + dy * ny + dz * nz, 0.0)
    strength = lamp[3] / (1 + 0.08 * distance * distance)
    # Blinn 1977: the half vector between lamp and eye, against the normal.
    eye = math.sqrt(x * x + y * y + z * z)
    hx, hy, hz = dx - x / eye, dy - y / eye, dz - z / eye
    half = (hx * nx + hy * ny + hz * nz) / (math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6)
    return strength * cosine, strength * (max(half, 0.0) ** 32 if cosine > 0 else 0.0)
