# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages of a bag by topic and header stamp."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from adamtl_ros.bags.reader import BagError, header_stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, KeysView

    from rosbags.highlevel import AnyReader


class StampIndex:
    """Index of messages by topic and header stamp; of messages with the same stamp, the first.

    Building it reads the topics once. A message is then read from its place, together with the
    messages of the other topics that have its stamp; those of one stamp are kept.

    Attributes:
        damage: What could not be read, or stopped the reading before the end of the bag; empty
            if nothing did.
        repeated: Topic and stamp of messages that had the stamp of an earlier one.

    """

    def __init__(self, reader: AnyReader, topics: Iterable[str]) -> None:
        """Read the stamps of all messages of some topics."""
        self._times: dict[str, dict[int, int]] = {topic: {} for topic in topics}
        self.damage = ''
        self.repeated: list[tuple[str, int]] = []
        self._forget()
        connections = [c for c in reader.connections if c.topic in self._times]
        try:
            for connection, time, raw in reader.messages(connections) if connections else ():
                self._add(connection.topic, time, raw)
        except Exception as error:  # noqa: BLE001  whatever a parser meets in damaged bytes
            self.damage = f'{type(error).__name__}: {error}'

    def _add(self, topic: str, time: int, raw: bytes) -> None:
        try:
            stamp = header_stamp(raw)
            if stamp in self._times[topic]:
                self.repeated.append((topic, stamp))
            self._times[topic].setdefault(stamp, time)
        except (struct.error, IndexError) as error:
            self.damage = self.damage or f'{topic}, recorded at {time} ns: {error}'

    def _forget(self) -> None:
        self._stamp: int | None = None
        self._raw: dict[str, tuple[bytes, str]] = {}
        self._messages: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        # The types of the messages are made for each bag, and cannot be pickled.
        return {**self.__dict__, '_stamp': None, '_raw': {}, '_messages': {}}

    def time(self, topic: str, stamp: int) -> int | None:
        """Return when a message was recorded [ns]; None if there is none."""
        return self._times[topic].get(stamp)

    def stamps(self, topic: str) -> KeysView[int]:
        """Return the header stamps of a topic in the order of recording [ns]."""
        return self._times[topic].keys()

    def read(self, reader: AnyReader, topic: str, stamp: int) -> Any | None:
        """Return a message of the bag, the same object if asked for it again; None if none.

        Raises:
            BagError: The message is no longer in the bag.

        """
        if self.time(topic, stamp) is None:
            return None
        if self._stamp != stamp:
            self._forget()
            self._raw = self._find(reader, stamp)
            self._stamp = stamp
        if topic not in self._raw:
            raise BagError('the bag is not as it was when it was opened; open it again')
        if topic not in self._messages:
            self._messages[topic] = reader.deserialize(*self._raw[topic])
        return self._messages[topic]

    def _find(self, reader: AnyReader, stamp: int) -> dict[str, tuple[bytes, str]]:
        """Return the serialised messages with a stamp, and their types, by topic."""
        times = {topic: at[stamp] for topic, at in self._times.items() if stamp in at}
        found: dict[str, tuple[bytes, str]] = {}
        for time in sorted(set(times.values())):
            connections = [c for c in reader.connections if times.get(c.topic) == time]
            for connection, _, raw in reader.messages(connections, time, time + 1):
                if connection.topic not in found and _has_stamp(raw, stamp):
                    found[connection.topic] = raw, connection.msgtype
        return found


def _has_stamp(raw: bytes, stamp: int) -> bool:
    try:
        return header_stamp(raw) == stamp
    except (struct.error, IndexError):
        return False
