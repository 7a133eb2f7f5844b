# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Domain shift of scenes."""

import numpy as np
import pytest

from adamtl_ros.scenes.compose import demo_scene, random_scene
from adamtl_ros.scenes.domains import DOMAINS, apply_domain

SEEDS = range(12)


def pair(seed, level=0.7):
    scene = random_scene(seed, level)
    return scene, apply_domain(scene, 'cellar')


def looks(scene, time=1.0):
    """Return the surfaces of all solids but the room, and of the room's sides."""
    solids, _ = scene.solids(time)
    return [*(solid.surface for solid in solids[1:]), *scene.surfaces]


def test_a_room_stays_as_it_is():
    scene = random_scene(3)
    assert apply_domain(scene, 'room') is scene


def test_what_there_is_and_where_stays_the_same():
    for seed in SEEDS:
        solids, owners = zip(*(scene.solids(1.5) for scene in pair(seed)), strict=True)
        assert (owners[0] == owners[1]).all()
        for one, other in zip(*solids, strict=True):
            assert (one.shape, one.class_id, one.part) == (other.shape, other.class_id, other.part)
            for name in ('center', 'half', 'axes'):
                assert np.array_equal(getattr(one, name), getattr(other, name))


def test_textures_are_others():
    for seed in SEEDS:
        room, cellar = map(looks, pair(seed))
        same = [a.pattern == b.pattern for a, b in zip(room, cellar, strict=True)]
        colors = np.array([[a.color, b.color] for a, b in zip(room, cellar, strict=True)])
        # Skin, hair and shoes alone keep their pattern; nothing else keeps its color.
        assert np.mean(same) < 0.6
        assert (np.abs(colors[:-3, 0] - colors[:-3, 1]).max(1) > 0.001).mean() > 0.9


def test_light_is_one_dim_bulb_and_the_camera_low_and_wide():
    for seed in SEEDS:
        room, cellar = pair(seed)
        assert len(cellar.lighting.lights) == 1
        assert cellar.lighting.ambient < room.lighting.ambient
        assert cellar.lighting.noise > room.lighting.noise
        assert cellar.view.eye[2] <= 0.4
        assert cellar.view.fov >= 1.5 > room.view.fov
        # It stands where it stood, so that nothing is in its way.
        assert np.array_equal(cellar.view.eye[:2], room.view.eye[:2])
        lamp = np.asarray(cellar.lighting.lights[0].at)
        assert (lamp > 0).all()
        assert (lamp < 2 * np.asarray(cellar.room.half)).all()


def test_images_are_darker_and_redder():
    def colors(scene):
        return scene.frame(1.0, (48, 64), 1).image.reshape(-1, 3).mean(0)

    room, cellar = (np.mean([colors(p[k]) for p in map(pair, SEEDS)], 0) for k in (0, 1))
    assert cellar.mean() < 0.8 * room.mean()
    assert cellar[0] / cellar[2] > 1.2 * room[0] / room[2]


def test_the_same_seed_gives_the_same_cellar():
    one, other = (pair(5)[1].frame(1.0, (24, 32), 1).image for _ in range(2))
    assert np.array_equal(one, other)


def test_any_scene_can_be_moved():
    image = apply_domain(demo_scene(), 'cellar').frame(2.0, (48, 64), 1).image
    assert image.std() > 5


def test_unknown_domains_are_refused():
    with pytest.raises(ValueError, match=rf"domain 'attic', choose from: {', '.join(DOMAINS)}"):
        apply_domain(random_scene(0), 'attic')
