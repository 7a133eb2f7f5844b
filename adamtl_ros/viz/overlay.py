# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labels, people and edges over the camera image, with a legend: one picture for a phone or rqt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.tasks import UNLABELLED, Kind
from adamtl_ros.viz.colorize import class_colors
from adamtl_ros.viz.legend import Legend, band_height

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

    Picture = NDArray[np.uint8]
    Result = NDArray[np.generic]

OVERLAY_TASKS = ('semseg', 'human_parts', 'edges')
"""Tasks that an overlay shows, from the lowest layer to the highest."""
OPACITY = {'semseg': 0.5, 'human_parts': 0.75}
"""Weight of the colors of classes against the image."""
EDGE_NEIGHBORHOOD = 40
"""Width of the image over that of the neighborhood that edges stand out of."""
EDGE_NOISE, EDGE_GAIN = 16, 4.0
"""Height over the neighborhood, of 255, from which edges are drawn, and opacity per unit above."""
OUTLINE_COLOR = (255, 255, 255)
LEGEND_TASK, LEGEND_ROWS, LEGEND_OPACITY = 'semseg', 2, 0.75


class Overlay:
    """Overlay of results over the images of a stream.

    Classes are named in a legend within the picture, at its bottom; the size stays that of the
    image. Background and unlabelled pixels show the image alone.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Start without frames.

        Args:
            tasks: Tasks by name, with their classes.

        """
        self._tasks = {name: tasks[name] for name in OVERLAY_TASKS if name in tasks}
        self._legend = Legend(self._tasks)

    def draw(
        self, image: Picture, results: Mapping[str, Result], *, legend: bool = True
    ) -> Picture:
        """Return a new picture, (H, W, 3) RGB.

        Args:
            image: Camera image, (H, W, 3) RGB.
            results: Results by task, in the form that the node publishes and in any size; those
                of other tasks are ignored.
            legend: Whether to name the classes within the picture.

        """
        picture = image.copy()
        for name, task in self._tasks.items():
            if name in results:
                result = _fit(results[name], image)
                if task.kind is Kind.LABELS:
                    _blend_classes(picture, task, result, people=name == 'human_parts')
                else:
                    _blend_edges(picture, result)
        if LEGEND_TASK in self._tasks and LEGEND_TASK in results and legend:
            self._legend.add(LEGEND_TASK, results[LEGEND_TASK])
            self._blend_legend(picture)
        return picture

    def _blend_legend(self, picture: Picture) -> None:
        scale = max(1.0, picture.shape[1] / 640)
        height = band_height(LEGEND_ROWS, scale)
        if height > picture.shape[0] // 3:
            return  # nobody could read it
        bottom = picture[-height:]
        band = self._legend.draw(LEGEND_TASK, picture.shape[1], LEGEND_ROWS, scale)
        cv2.addWeighted(band, LEGEND_OPACITY, bottom, 1 - LEGEND_OPACITY, 0, dst=bottom)


def _fit(result: Result, image: Picture) -> Result:
    """Return a result in the size of the image."""
    height, width = image.shape[:2]
    if result.shape[:2] == (height, width):
        return result
    return cv2.resize(result, (width, height), interpolation=cv2.INTER_NEAREST)


def _blend_classes(picture: Picture, task: Task, ids: Result, *, people: bool) -> None:
    """Blend the colors of classes into a picture; people get an outline."""
    opacity = OPACITY[task.name]
    colors = cv2.applyColorMap(ids, class_colors(task.classes)[:, None])
    shown = ids != UNLABELLED
    if task.classes[:1] == ('background',):
        shown &= ids != 0
    mask = shown.astype(np.uint8)
    if not mask.any():
        return
    blended = cv2.addWeighted(colors, opacity, picture, 1 - opacity, 0)
    cv2.copyTo(blended, mask, picture)
    if people:
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, OUTLINE_COLOR, max(1, picture.shape[1] // 480))


def _blend_edges(picture: Picture, probability: Result) -> None:
    """Blend the ridges of a map of edge probabilities into a picture, in white.

    Networks of edges weight the few edge pixels up, so half of an image may have more than 0.5.
    What stands out of its neighborhood is an edge whatever the weights (white top-hat transform).
    """
    side = max(3, picture.shape[1] // EDGE_NEIGHBORHOOD)
    kernel = np.ones((side, side), np.uint8)
    ridge = cv2.morphologyEx(probability, cv2.MORPH_TOPHAT, kernel)
    strength = cv2.convertScaleAbs(ridge, alpha=EDGE_GAIN, beta=-EDGE_GAIN * EDGE_NOISE)
    strength[ridge <= EDGE_NOISE] = 0
    # Adding is all that white needs: (1 - a) * color + a * 255.
    light = cv2.cvtColor(strength, cv2.COLOR_GRAY2RGB)
    cv2.add(picture, cv2.multiply(cv2.bitwise_not(picture), light, scale=1 / 255), dst=picture)
