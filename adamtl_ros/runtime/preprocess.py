# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera image to network input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from adamtl_ros.nn.io.checkpoint import Model


class Preprocessor:
    """Resizes RGB images to about the size the network is meant for, and normalises them."""

    def __init__(self, model: Model, device: torch.device) -> None:
        self.size = model.input_size
        self.stride = model.network.arch.stride
        self.device = device
        scale = 1 / (255 * np.array(model.std, np.float32))
        offset = np.array(model.mean, np.float32) / np.array(model.std, np.float32)
        self._scale = torch.from_numpy(scale.astype(np.float32)).to(device)
        self._offset = torch.from_numpy(offset).to(device)

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """Turn an (H, W, 3) RGB image into a (1, 3, h, w) batch, channels last in memory."""
        height, width = network_size(image.shape[0], image.shape[1], self.size, self.stride)
        if image.shape[:2] != (height, width):
            shrinks = height < image.shape[0]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(image, (width, height), interpolation=method)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        normalised = pixels.float().mul_(self._scale).sub_(self._offset)
        return normalised.permute(2, 0, 1)[None]


def network_size(height: int, width: int, target: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the input size for a camera image: its aspect, about the target's number of pixels.

    Sides are multiples of the stride, so nothing is spent on padding, and lie between one
    stride and four times the target's longer side; a strip is squeezed to that.
    """
    scale = (target[0] * target[1] / (height * width)) ** 0.5
    most = 4 * max(target) // stride
    rows, columns = (
        min(max(1, round(side * scale / stride)), most) * stride for side in (height, width)
    )
    return rows, columns
