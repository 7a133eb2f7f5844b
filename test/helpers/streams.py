# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An engine that answers from the colors of an image, and textured scenes to show to it."""

from types import SimpleNamespace

import cv2
import numpy as np

from adamtl_ros.nn.io.checkpoint import Model
from adamtl_ros.nn.network import Cost
from adamtl_ros.runtime.engine import RawInference
from adamtl_ros.runtime.pre_post_processing import network_size, postprocess

from . import small

NAMES = ('semseg', 'normals', 'depth', 'saliency')


class ColorEngine:
    """Engine without a network: what it says of a pixel follows from its color.

    Attributes:
        calls: Budget and tasks of each call of `infer()`.
        noise: Standard deviation of what is added to depth.

    """

    def __init__(self, noise=0.0, output='input'):
        network = small.lite()
        self.model = Model(network, 'colors')
        self.backend = SimpleNamespace(name='torch', precision='float32')
        self.tasks, self.output = tuple(network.tasks), output
        self.calls, self.noise = [], noise
        self._random = np.random.default_rng(0)

    def infer(self, image, budget, tasks, focal=None):
        """Return raw maps that follow from the colors."""
        network = self.model.network
        height, width = image.shape[:2]
        size = network_size(height, width, self.model.input_size, network.arch.stride)
        shares = [s for s in network.rung_fractions(size, tasks) if s <= budget]
        share = max(shares, default=min(network.rung_fractions(size, tasks)))
        self.calls.append((share, tuple(tasks)))
        rows, columns = (round(side * share**0.5 / 4) for side in size)
        pixels = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA) / 255
        maps = {name: self._answer(name, pixels.astype(np.float32), focal) for name in tasks}
        full = network.budget_model(size, tasks).full
        cost = Cost(round(share * full), full, 1, 16, 0, 0, floor=False)
        return RawInference(maps, cost, None, size, 0.1, 0.2, 'torch', 'float32')

    def postprocess(self, maps, size):
        """Return results as an engine does."""
        return {n: postprocess(self.model.network.tasks[n], raw, size) for n, raw in maps.items()}

    def _answer(self, name, pixels, focal):
        channels = self.model.network.tasks[name].channels
        gray = pixels.mean(-1)
        if name == 'normals':
            # Of the mirror image, the mirrored normals.
            slope = np.gradient(gray, axis=1)
            return np.stack([slope, np.zeros_like(slope), -np.ones_like(slope)])
        planes = np.stack([gray] * channels)
        if channels > 1:
            planes = -((gray * channels - np.arange(channels)[:, None, None]) ** 2)
        noise = self._random.normal(0, self.noise, planes.shape) if self.noise else 0.0
        return (planes + noise + (np.log(focal) if focal else 0.0)).astype(np.float32)


def texture(seed=0, height=160, width=220):
    """Return an RGB image that is smooth and has no two places alike."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + 35 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def pan(step, count=10, seed=0):
    """Return views of a camera that moves over a texture by `step` columns a frame."""
    wide = texture(seed, 120, 160 + step * count)
    views = [wide[:, step * k : step * k + 160] for k in range(count)]
    return [np.ascontiguousarray(view) for view in views]
