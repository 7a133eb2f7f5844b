# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera messages for tests."""

import cv2
import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def picture(height=48, width=64, seed=0):
    """Smooth random colors, (H, W, 3) RGB."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def image(array=None, encoding='rgb8', stamp=1, frame_id='camera', padding=0):
    """Make an image message, each row followed by `padding` bytes of rubbish."""
    array = picture() if array is None else array
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(array.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=171)
    message = Image(height=array.shape[0], width=array.shape[1], encoding=encoding)
    message.header.stamp.sec, message.header.stamp.nanosec = stamp, 500
    message.header.frame_id = frame_id
    message.step = padded.shape[1]
    message.data.frombytes(padded.tobytes())
    return message


def compressed(array=None, stamp=1, extension='.jpg'):
    """Make a compressed image message."""
    array = picture() if array is None else array
    message = CompressedImage(format='rgb8; jpeg compressed bgr8')
    message.header.stamp.sec = stamp
    bgr = cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    message.data.frombytes(cv2.imencode(extension, bgr)[1].tobytes())
    return message


def camera_info(height=48, width=64, focal=50.0):
    """Make a calibration with every field that scales set to something."""
    info = CameraInfo(height=height, width=width, distortion_model='plumb_bob')
    info.d = [0.1, 0.2, 0.0, 0.0, 0.0]
    info.k = [focal, 0.0, 31.5, 0.0, focal, 23.5, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, 31.5, -2.0, 0.0, focal, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 8, 4, 32, 24
    return info


def send_until(graph, publisher, message, done):
    """Publish again and again, as a camera does, until something has happened."""

    def attempt():
        if done():
            return True
        publisher.publish(message)
        return False

    graph.until(attempt)


def array(message):
    kind = np.float32 if message.encoding.startswith('32F') else np.uint8
    channels = 3 if message.encoding in ('32FC3', 'rgb8') else 1
    shape = (message.height, message.width, channels)
    return np.frombuffer(message.data, kind).reshape(shape if channels > 1 else shape[:2])
