# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Video files, webcams and network streams as sources, by OpenCV."""

from __future__ import annotations

import math
import re
import threading
import time
from typing import TYPE_CHECKING

import cv2

from adamtl_ros.runtime.worker import Mailbox
from adamtl_ros.sources.frame import USUAL_HZ, Frame, Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 10_000, 10_000
"""Longest wait for a network stream to open, and for its next image."""


class Video(Source):
    """Video file. Turned pictures of a telephone are turned back by OpenCV."""

    def __init__(self, path: str) -> None:
        """Open the file once, to know its rate and length.

        Raises:
            SourceError: No video that OpenCV reads.

        """
        super().__init__(path)
        capture = _open(path)
        rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        self.rate_hz = rate if math.isfinite(rate) and rate > 0 else math.nan
        self.count = count if count > 0 else None

    def frames(self) -> Iterator[Frame]:
        """Yield the images, with their times in the video."""
        capture = _open(self.name)
        period_ns = round(1e9 / (USUAL_HZ if math.isnan(self.rate_hz) else self.rate_hz))
        last_ns = -period_ns
        try:
            while True:
                read, image = capture.read()
                if not read:
                    return
                stamp_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                if stamp_ns <= last_ns:  # some containers have no times
                    stamp_ns = last_ns + period_ns
                last_ns = stamp_ns
                yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), stamp_ns)
        finally:
            capture.release()


class Camera(Source):
    """Webcam or network stream, whose newest image counts.

    A thread reads all the time: the buffers of drivers and of FFmpeg would give old images.
    """

    live = True

    def __init__(self, device: str) -> None:
        """Set the device; it is opened by `frames()`.

        Args:
            device: Number of a webcam, its path such as /dev/video0, or an address such as
                rtsp://camera/stream.

        """
        super().__init__(f'camera {device}' if device.isdecimal() else without_password(device))
        self._device = device

    def frames(self) -> Iterator[Frame]:
        """Yield the newest image whenever one is asked for.

        Raises:
            SourceError: The camera cannot be opened, or sends no more images.

        """
        capture = _open(self._device)
        mailbox: Mailbox[Frame] = Mailbox()
        stopping = threading.Event()
        reader = threading.Thread(target=_read, args=[capture, mailbox, stopping], daemon=True)
        reader.start()
        try:
            while (frame := mailbox.take()) is not None:
                yield frame
        finally:
            stopping.set()
            reader.join(READ_TIMEOUT_MS / 1000)
        raise SourceError(f'{self.name} sends no more images')


def _read(capture: cv2.VideoCapture, mailbox: Mailbox[Frame], stopping: threading.Event) -> None:
    """Put each image into the mailbox until there are no more."""
    try:
        while not stopping.is_set():
            read, image = capture.read()
            if not read:
                break
            mailbox.put(Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), time.time_ns()))
    finally:
        capture.release()
        mailbox.close()


def _open(device: str) -> cv2.VideoCapture:
    """Open a webcam, a file or an address.

    Raises:
        SourceError: It cannot be opened.

    """
    capture = cv2.VideoCapture()
    if device.isdecimal():
        capture.open(int(device))
    elif '://' in device:
        limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        timeouts = (OPEN_TIMEOUT_MS, READ_TIMEOUT_MS)
        flat = [value for pair in zip(limits, timeouts, strict=True) for value in pair]
        capture.open(device, cv2.CAP_FFMPEG, flat)
    else:
        capture.open(device)
    if not capture.isOpened():
        raise SourceError(_advice(device))
    return capture


def _advice(device: str) -> str:
    if device.isdecimal() or device.startswith('/dev/'):
        return (
            f"camera {device} cannot be opened; 'ls /dev/video*' lists the cameras, another "
            'program may hold this one, and your user must be in the group video'
        )
    if '://' in device:
        shown = without_password(device)
        return f'{shown} cannot be opened; check address, user and password, and the network'
    return f'{device} is no video that OpenCV reads'


def without_password(address: str) -> str:
    """Return an address without user and password, to be shown."""
    return re.sub('(?<=://)[^/]*@', '', address)
