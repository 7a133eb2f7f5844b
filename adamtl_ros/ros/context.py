# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Records passed between the parts of the node: its context for a camera, and a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rclpy.lifecycle import LifecycleNode
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

    from adamtl_ros.governor.governor import Decision
    from adamtl_ros.ros.failures import Failures
    from adamtl_ros.ros.governor_inputs import GovernorInputs
    from adamtl_ros.ros.parameters import LiveSettings, Parameters
    from adamtl_ros.runtime.adapter_manager import AdapterManager
    from adamtl_ros.runtime.engine import Engine, Inference


@dataclass(frozen=True)
class NodeContext:
    """Objects of the node that the parts of one camera work with.

    Attributes:
        node: Node to publish and subscribe with.
        camera: Name of the camera, the prefix of its topics; '' for the only one.
        adapters: Owner of the engine, shared by all cameras.
        parameters: Parameters of the node.
        governor: Governor that decides on the budget of every frame, shared by all cameras.
        failures: Callbacks of the node that have failed.

    """

    node: LifecycleNode
    camera: str
    adapters: AdapterManager
    parameters: Parameters
    governor: GovernorInputs
    failures: Failures

    @property
    def engine(self) -> Engine:
        """Engine for the next frame; read it once per frame."""
        return self.adapters.engine

    @property
    def settings(self) -> LiveSettings:
        """Run-time parameters at this moment."""
        return self.parameters.settings

    def topic(self, name: str) -> str:
        """Return the name of an input topic of the camera."""
        return f'{self.camera}/{name}' if self.camera else name

    @property
    def info_topic(self) -> str:
        """Full name of the calibration topic of the camera.

        It is `camera_info`, remapped if it is, else beside the image, as in image_transport.
        """
        name = self.topic('camera_info')
        resolved = self.node.resolve_topic_name(name)
        if resolved != self.node.resolve_topic_name(name, only_expand=True):
            return str(resolved)
        image = self.node.resolve_topic_name(self.topic('image'))
        return f'{image.rpartition("/")[0]}/camera_info'

    def private_topic(self, name: str) -> str:
        """Return the name of an output topic of the camera, below the name of the node."""
        return f'~/{self.topic(name)}'


@dataclass(frozen=True)
class CameraFrame:
    """Camera message as it arrived.

    Attributes:
        camera: Name of the camera.
        serialized: Serialized message; frames that are dropped or ignored are never deserialized.
        message_type: Type of the message.
        arrival_s: Time of arrival on the steady clock [s].

    """

    camera: str
    serialized: bytes
    message_type: type[Image | CompressedImage]
    arrival_s: float


@dataclass(frozen=True)
class ProcessedFrame:
    """Results of a frame, and what is known about how they were computed.

    Attributes:
        header: Header of the image.
        image: The image, (H, W, 3) RGB.
        inference: Results, cost and times.
        model: Name of the model.
        decision: Budget of the frame and the reason for it.
        start_s: Time at which the work on the frame began, of `time.perf_counter()` [s].
        start_j: Energy counter at that time [J]; NaN if it cannot be read.
        decode_ms: Time of decoding the message [ms].

    """

    header: Header
    image: NDArray[np.uint8]
    inference: Inference
    model: str
    decision: Decision
    start_s: float
    start_j: float
    decode_ms: float
