# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Functions that the tests call in a worker process, which imports them from here."""

import os
import sys
import threading


def echo(connection, count, first=0):
    """Send each received number with the sum so far; return the process id."""
    total = first
    for _ in range(count):
        number = connection.recv()
        total += number
        connection.send((number, total))
    return os.getpid()


def process(connection):
    return os.getpid()


def path(connection):
    return sys.path


def countdown(connection, count):
    for number in reversed(range(count)):
        connection.send(number)
    return 'done'


def fail(connection, error):
    raise error


def send_unpicklable(connection):
    connection.send(threading.Lock())


class Unpicklable(Exception):  # noqa: N818
    """Cannot be pickled."""

    def __init__(self, text):
        super().__init__(text, threading.Lock())
        self._text = text

    def __str__(self):
        return self._text


class NotUnpicklable(Exception):  # noqa: N818
    """Can be pickled, but not unpickled."""

    def __init__(self, one, two):
        super().__init__(f'{one} and {two}')


def fail_unpicklable(connection, kind):
    raise Unpicklable('a lock') if kind == 'unpicklable' else NotUnpicklable('this', 'that')


def exit_with(connection, code):
    sys.exit(code)


def wait_and_log(connection, file):
    """Send the process id, then receive; write the type of the exception that ends it."""
    connection.send(os.getpid())
    try:
        while True:
            connection.recv()
    except BaseException as error:
        file.write_text(type(error).__name__)
        raise


def send_forever(connection, file):
    """Send messages until the caller is gone, then write that down."""
    connection.send(os.getpid())
    try:
        while True:
            connection.send('message')
    finally:
        file.write_text('caller is gone')


def ignore_eof(connection):
    """Keep running when the caller is gone."""
    connection.send(os.getpid())
    try:
        connection.recv()
    except EOFError:
        threading.Event().wait()
