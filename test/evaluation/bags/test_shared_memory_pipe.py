# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Objects arrive as they were sent, in order, and nobody is left waiting for one who is gone."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adamtl_ros.evaluation.bags.process import FILES, SLOTS, SharedMemoryPipe

PATIENCE = 60  # seconds until a test that hangs fails

ECHO = """
import sys
from adamtl_ros.evaluation.bags.process import SharedMemoryPipe
channel = SharedMemoryPipe([int(number) for number in sys.argv[1:]])
while True:
    channel.send(channel.receive())
"""

ORDERS = {
    'C': lambda array: array.copy('C'),
    'Fortran': lambda array: array.copy('F'),
    'turned': lambda array: array.T,
    'backwards': lambda array: array[::-1] if array.ndim else array,
    'with gaps': lambda array: array[..., ::2] if array.ndim else array,
    'of one value': lambda array: np.broadcast_to(array, (3, *array.shape)),
}
TIMES = hnp.datetime64_dtypes() | hnp.timedelta64_dtypes()
NUMBERS = hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes()
RECORDS = st.just(np.dtype([('stamp', '>i8'), ('pose', np.float32, (3, 4)), ('name', 'U5')]))
OTHERS = hnp.boolean_dtypes() | hnp.complex_number_dtypes() | hnp.unicode_string_dtypes(max_len=9)
KINDS = st.one_of(NUMBERS, OTHERS, TIMES, RECORDS)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = st.builds(
    lambda array, order: ORDERS[order](array), hnp.arrays(KINDS, SHAPES), st.sampled_from([*ORDERS])
)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(max_size=99))
MESSAGES = st.recursive(
    ARRAYS | PLAIN,
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts) | st.tuples(parts, parts),
    max_leaves=8,
)


def same(one, other):
    """Return whether two nested objects are the same, their arrays bit for bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return plain(one) == plain(other)
    if isinstance(one, dict):
        return [*one] == [*other] and same([*one.values()], [*other.values()])
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def plain(array):
    """Return what an array says; numpy's pickles may turn its bytes to the order of the machine."""
    kind = array.dtype.newbyteorder('=')
    return kind, array.shape, array.astype(kind).tobytes()


@contextmanager
def both_ends():
    ends = SharedMemoryPipe.pair()
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def ends():
    with both_ends() as pair:
        yield pair


@pytest.fixture(scope='module')
def old_ends():
    with both_ends() as pair:
        yield pair


@contextmanager
def echo():
    """Start a process that sends back what it gets; yield our end and the process."""
    ours, theirs = SharedMemoryPipe.pair()
    arguments = [sys.executable, '-c', ECHO, *map(str, theirs.files)]
    with subprocess.Popen(arguments, pass_fds=theirs.files, stderr=subprocess.DEVNULL) as process:
        theirs.close()
        yield ours, process
        ours.close()


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def our_files():
    return sorted(Path('/proc/self/fd').iterdir())


@settings(deadline=None)
@given(message=MESSAGES, back=st.booleans())
def test_a_message_arrives_as_it_was(old_ends, message, back):
    """One channel for all of them, so that a message comes after smaller and larger ones."""
    sender, receiver = old_ends[::-1] if back else old_ends
    sender.send(message)
    assert same(receiver.receive(), message)


@pytest.mark.parametrize('order', ['C', 'F'])
def test_the_order_of_axes_stays(ends, order):
    ends[0].send(np.ones((3, 4, 5), order=order))
    assert ends[1].receive().flags[f'{order}_CONTIGUOUS']


@pytest.mark.parametrize('order', ORDERS)
def test_arrays_are_copies_of_their_own(ends, order):
    sender, receiver = ends
    there = []
    for number in range(3 * SLOTS):
        sent = ORDERS[order](np.full((4, 6, 8), number))
        shape = sent.shape
        sender.send([sent, sent[0]])
        if sent.flags.writeable:
            sent[:] = -1
        there.append(receiver.receive())
    for number, (whole, part) in enumerate(there):
        assert whole.shape == shape
        assert (whole == number).all()
        assert (part == number).all()
        whole[:] = -2
        assert (part == number).all()


def test_what_must_not_be_changed_arrives_so(ends):
    array = np.arange(9)
    array.flags.writeable = False
    ends[0].send(array)
    assert not ends[1].receive().flags.writeable


def test_arrays_are_aligned(ends):
    ends[0].send([np.ones(3, np.uint8), np.ones(5), np.ones(1, np.uint8), np.ones(3, complex)])
    assert all(array.flags.aligned for array in ends[1].receive())


def test_messages_grow_and_shrink(ends):
    sizes = [0, 1, 10**3, 10**6, 5, 2 * 10**6, 0, 3 * 10**6, 10**6, 4 * 10**6]
    for size in sizes:
        ends[0].send(np.arange(size, dtype=np.uint16))
        assert same(ends[1].receive(), np.arange(size, dtype=np.uint16))


def test_a_process_gets_and_sends(ends):
    """Several messages are under way at once, in both directions."""
    with echo() as (channel, _):
        for first in range(0, 30, SLOTS):
            sent = [{'n': n, 'image': np.full((n, 40, 3), n)} for n in range(first, first + SLOTS)]
            for message in sent:
                channel.send(message)
            assert same([channel.receive() for _ in sent], sent)


@pytest.mark.parametrize('size', [10, 3_000_000])
def test_both_may_send_before_anyone_receives(ends, size):
    for number in range(SLOTS):
        for end in ends:
            end.send({number: np.arange(2 * size)[::2], 'text': 'x' * size})
    for number in range(SLOTS):
        for end in ends:
            assert same(end.receive()[number], np.arange(0, 2 * size, 2))


def test_who_sends_waits_while_too_many_are_unread(ends):
    sender, receiver = ends
    sent, count = threading.Semaphore(0), 20

    def send():
        for number in range(count):
            sender.send(np.full(1000, number))
            sent.release()

    thread = in_thread(send)
    for _ in range(SLOTS):
        assert sent.acquire(timeout=PATIENCE)
    for number in range(count):
        assert not sent.acquire(timeout=0.01)
        assert (receiver.receive() == number).all()
        if number < count - SLOTS:
            assert sent.acquire(timeout=PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_who_receives_waits_for_a_message(ends):
    found = []
    thread = in_thread(lambda: found.append(ends[1].receive()))
    ends[0].send('now')
    thread.join(PATIENCE)
    assert found == ['now']


def test_what_cannot_be_pickled_is_refused_and_costs_nothing(ends):
    for _ in range(2 * SLOTS):
        with pytest.raises(TypeError, match='cannot pickle'):
            ends[0].send([np.ones(9), threading.Lock()])
    ends[0].send('still there')
    assert ends[1].receive() == 'still there'


def test_messages_of_one_who_is_gone_arrive_before_the_end():
    gone, channel = SharedMemoryPipe.pair()
    for number in range(SLOTS):
        gone.send(np.full(9, number))
    gone.close()
    for number in range(SLOTS):
        assert (channel.receive() == number).all()
    for _ in range(2):
        with pytest.raises(EOFError):
            channel.receive()
    channel.close()


@pytest.mark.parametrize('unread', range(SLOTS + 1))
def test_nobody_sends_to_one_who_is_gone(unread):
    gone, channel = SharedMemoryPipe.pair()
    for _ in range(unread):
        channel.send(np.ones(9))
    gone.close()
    for _ in range(2):
        with pytest.raises(OSError, match=r'gone|pipe|reset'):
            channel.send(np.ones(9))
    with pytest.raises(EOFError):
        channel.receive()
    channel.close()


@pytest.mark.parametrize('full', [True, False])
def test_who_waits_hears_that_the_other_one_is_killed(full):
    """Waits to send, or for a message."""
    ended = []
    with echo() as (channel, process):
        channel.send(0)
        assert channel.receive() == 0

        def wait():
            try:
                while True:
                    channel.send(0) if full else channel.receive()
            except (OSError, EOFError) as error:
                ended.append(error)

        thread = in_thread(wait)
        process.kill()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert isinstance(ended[0], OSError if full else EOFError)


def test_no_file_is_left_behind():
    before = our_files()
    for _ in range(3):
        with both_ends() as (one, other):
            for size in (10, 1000, 100_000):
                for end, to in ((one, other), (other, one)):
                    end.send(np.ones(size))
                    to.receive()
            assert len(our_files()) >= len(before) + 2 * FILES
        with echo() as (channel, _):
            channel.send(np.ones(9))
            channel.receive()
    assert our_files() == before


def test_the_memory_has_no_name_and_no_limit_of_a_file_system(ends):
    """Who writes to a full /dev/shm dies, and that of a container is small."""
    names = [str(Path(f'/proc/self/fd/{n}').readlink()) for end in ends for n in end.files]
    assert {name.partition(':')[0] for name in names} == {'socket', '/memfd'}


def test_an_end_has_so_many_files():
    with pytest.raises(ValueError, match=f'an end of a channel has {FILES} files, got 2'):
        SharedMemoryPipe([0, 1])
