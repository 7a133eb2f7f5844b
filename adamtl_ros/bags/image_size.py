# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Size of a compressed image, read from its header before anything is decoded.

A PNG of 140 kB may hold 144 megapixels, and takes gigabytes once it is decoded. Formats: JPEG
(ITU-T T.81, B.2), PNG (W3C, 11.2.2), TIFF 6.0 (section 2), WebP (RFC 9649, 2) and BMP.
Others, such as GIF and JPEG 2000, no camera driver sends.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SCANS = 100
"""Largest number of scans of a JPEG: each goes over the whole picture, encoders make about ten."""
MAX_SEGMENTS = 4096
"""Largest number of segments of a JPEG before its frame header."""
_NO_FRAME = {0xC4, 0xC8, 0xCC}
"""Markers of JPEG between those of frames."""
_TIFF_SIDES = {256: 'width', 257: 'height', 322: 'width', 323: 'height'}
"""Tags of TIFF with a side of the image, or of its tiles, which are decoded whole."""


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a compressed image, [px].

    For a TIFF, they are not smaller than a tile.

    Args:
        data: Whole image.

    Returns:
        None for a format that is not known, or a header that is not whole.

    """
    for start, read in _FORMATS.items():
        if data.startswith(start):
            try:
                return read(data)
            except (struct.error, IndexError):
                return None
    return None


def jpeg_scans(data: bytes) -> int:
    """Return about how many scans a JPEG has; a thumbnail counts too."""
    return data.count(b'\xff\xda')


def _jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    for _ in range(MAX_SEGMENTS):
        place = data.find(b'\xff', place)  # decoders skip rubbish between two segments
        marker = data[place + 1] if place >= 0 else 0xD9
        if marker == 0xFF:
            place += 1  # fill byte
        elif marker in (0, 1) or 0xD0 <= marker <= 0xD8:
            place += 2  # no segment
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack_from('>HH', data, place + 5)
            return height, width
        elif marker in (0xD9, 0xDA):
            return None  # the picture begins or ends, and there was no frame header
        else:
            place += 2 + struct.unpack_from('>H', data, place + 2)[0]
    return None


def _png(data: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from('>II', data, 16)
    return (height, width) if data[12:16] == b'IHDR' else None


def _tiff(data: bytes) -> tuple[int, int] | None:
    order = '<' if data[:2] == b'II' else '>'
    (place,) = struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}H', data, place)
    sides = {'width': 0, 'height': 0}
    for entry in range(count):
        at = place + 2 + 12 * entry
        tag, kind = struct.unpack_from(f'{order}HH', data, at)
        if tag in _TIFF_SIDES:
            (value,) = struct.unpack_from(order + ('H' if kind == 3 else 'I'), data, at + 8)
            sides[_TIFF_SIDES[tag]] = max(sides[_TIFF_SIDES[tag]], value)
    return sides['height'], sides['width']


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if data[8:12] != b'WEBP':
        return None
    if kind == b'VP8X':
        return 1 + _three(data, 27), 1 + _three(data, 24)
    if kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', data, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    width, height = struct.unpack_from('<HH', data, 26)
    return (height & 0x3FFF, width & 0x3FFF) if kind == b'VP8 ' else None


def _three(data: bytes, place: int) -> int:
    return data[place] | data[place + 1] << 8 | data[place + 2] << 16


def _bmp(data: bytes) -> tuple[int, int] | None:
    if struct.unpack_from('<I', data, 14)[0] == 12:
        width, height = struct.unpack_from('<HH', data, 18)
    else:
        width, height = struct.unpack_from('<ii', data, 18)
    return abs(height), abs(width)  # negative: rows from the top


_FORMATS: dict[bytes, Callable[[bytes], tuple[int, int] | None]] = {
    b'\xff\xd8': _jpeg,
    b'\x89PNG\r\n\x1a\n': _png,
    b'II*\0': _tiff,
    b'MM\0*': _tiff,
    b'RIFF': _webp,
    b'BM': _bmp,
}
"""Readers by the first bytes of a format."""
