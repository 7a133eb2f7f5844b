# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages of a bag by topic and header stamp, wherever in the bag they are."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from adamtl_ros.data.bags import BagError, header_stamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rosbags.highlevel import AnyReader


class ByStamp:
    """Remembers when the messages of some topics were recorded; of equal stamps, the first.

    Attributes:
        damage: What could not be read, or stopped the reading before the end of the bag; empty
            if nothing did.
        repeated: Topic and stamp of messages that had the stamp of an earlier one.

    """

    def __init__(self, reader: AnyReader, topics: Iterable[str]) -> None:
        """Read the messages once, for their stamps."""
        self._times: dict[str, dict[int, int]] = {topic: {} for topic in topics}
        self.damage = ''
        self.repeated: list[tuple[str, int]] = []
        self._newest: dict[str, tuple[int, Any]] = {}
        wanted = [c for c in reader.connections if c.topic in self._times]
        try:
            for connection, time, raw in reader.messages(wanted) if wanted else ():
                self._note(connection.topic, time, raw)
        except Exception as error:  # noqa: BLE001  whatever a parser meets in damaged bytes
            self.damage = f'{type(error).__name__}: {error}'

    def _note(self, topic: str, time: int, raw: bytes) -> None:
        try:
            stamp = header_stamp(raw)
            if stamp in self._times[topic]:
                self.repeated.append((topic, stamp))
            self._times[topic].setdefault(stamp, time)
        except (struct.error, IndexError) as error:
            self.damage = self.damage or f'{topic}, recorded at {time} ns: {error}'

    def time(self, topic: str, stamp: int) -> int | None:
        """Return when a message was recorded [ns]; None if there is none."""
        return self._times[topic].get(stamp)

    def stamps(self, topic: str) -> set[int]:
        """Return the header stamps of a topic [ns]."""
        return set(self._times[topic])

    def read(self, reader: AnyReader, topic: str, stamp: int) -> Any | None:  # noqa: ANN401
        """Return a message of the same bag, the same one if asked again at once; None if none.

        Raises:
            BagError: It was there before, and is no more.

        """
        time = self.time(topic, stamp)
        if time is None:
            return None
        if self._newest.get(topic, (None, None))[0] != stamp:
            self._newest[topic] = stamp, self._find(reader, topic, stamp, time)
        return self._newest[topic][1]

    def _find(self, reader: AnyReader, topic: str, stamp: int, time: int) -> Any:  # noqa: ANN401
        wanted = [c for c in reader.connections if c.topic == topic]
        for connection, _, raw in reader.messages(wanted, time, time + 1):
            if header_stamp(raw) == stamp:
                return reader.deserialize(raw, connection.msgtype)
        raise BagError('the bag is not as it was a moment ago')
