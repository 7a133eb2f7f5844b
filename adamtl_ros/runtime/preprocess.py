# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Preprocessing: from a camera image to the network input."""

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
    """Resizing of RGB images to about the input size of the model, and normalization."""

    def __init__(self, model: Model, device: torch.device) -> None:
        self.size = model.input_size
        self.stride = model.network.arch.stride
        self.device = device
        scale = 1 / (255 * np.array(model.std, np.float32))
        offset = np.array(model.mean, np.float32) / np.array(model.std, np.float32)
        self._scale = torch.from_numpy(scale.astype(np.float32)).to(device)
        self._offset = torch.from_numpy(offset).to(device)

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """Convert an (H, W, 3) uint8 RGB image to a (1, 3, h, w) batch, channels last in memory."""
        height, width = network_size(image.shape[0], image.shape[1], self.size, self.stride)
        if image.shape[:2] != (height, width):
            shrink = height < image.shape[0]
            method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
            image = cv2.resize(image, (width, height), interpolation=method)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        normalized = pixels.float().mul_(self._scale).sub_(self._offset)
        return normalized.permute(2, 0, 1)[None]


def network_size(height: int, width: int, target: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the input size for an image: its aspect ratio and about the target's area.

    Sides are multiples of the stride, so that nothing is padded, and lie between one stride and
    four times the longer side of the target; a narrow strip is squeezed to that.

    Args:
        height: Height of the image [pixels].
        width: Width of the image [pixels].
        target: Height and width that the model was made for [pixels].
        stride: Largest stride of the network [pixels].

    Returns:
        Height and width of the network input [pixels].

    """
    scale = (target[0] * target[1] / (height * width)) ** 0.5
    limit = 4 * max(target) // stride
    rows, columns = (
        min(max(1, round(side * scale / stride)), limit) * stride for side in (height, width)
    )
    return rows, columns
