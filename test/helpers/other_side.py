# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Functions that the tests call in a neighbour, which imports them from here."""

import os
import sys
import threading


def echo(talk, count, first=0):
    """Say what is heard, and the sum; return the process."""
    total = first
    for _ in range(count):
        number = talk.hear()
        total += number
        talk.say((number, total))
    return os.getpid()


def process(talk):
    return os.getpid()


def path(talk):
    return sys.path


def countdown(talk, count):
    for number in reversed(range(count)):
        talk.say(number)
    return 'done'


def fail(talk, error):
    raise error


def say_the_unsayable(talk):
    talk.say(threading.Lock())


class Opaque(Exception):  # noqa: N818
    """Cannot be pickled."""

    def __init__(self, text):
        super().__init__(text, threading.Lock())
        self._text = text

    def __str__(self):
        return self._text


class Odd(Exception):  # noqa: N818
    """Can be pickled, but not unpickled."""

    def __init__(self, one, two):
        super().__init__(f'{one} and {two}')


def fail_oddly(talk, kind):
    raise Opaque('a lock') if kind == 'opaque' else Odd('this', 'that')


def leave(talk, code):
    sys.exit(code)


def put_away(talk, file):
    """Say the process, then listen; write down by what the listening ended."""
    talk.say(os.getpid())
    try:
        while True:
            talk.hear()
    except BaseException as error:
        file.write_text(type(error).__name__)
        raise


def chatter(talk, file):
    """Say things for ever; write down when nobody is there any more."""
    talk.say(os.getpid())
    try:
        while True:
            talk.say('and another thing')
    finally:
        file.write_text('nobody is there')


def ignore(talk):
    """Go on when the caller is gone."""
    talk.say(os.getpid())
    try:
        talk.hear()
    except EOFError:
        threading.Event().wait()
