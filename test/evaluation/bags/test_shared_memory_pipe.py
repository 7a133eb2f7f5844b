# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages arrive unchanged and in order, and no end waits for one that is closed."""

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

from adamtl_ros.evaluation.bags.process import BUFFERS, DESCRIPTORS, SharedMemoryPipe

TIMEOUT = 60  # seconds until a test that hangs fails

ECHO = """
import sys
from adamtl_ros.evaluation.bags.process import SharedMemoryPipe
pipe = SharedMemoryPipe([int(number) for number in sys.argv[1:]])
while True:
    pipe.send(pipe.recv())
"""

ORDERS = {
    'C': lambda array: array.copy('C'),
    'Fortran': lambda array: array.copy('F'),
    'transposed': lambda array: array.T,
    'reversed': lambda array: array[::-1] if array.ndim else array,
    'strided': lambda array: array[..., ::2] if array.ndim else array,
    'broadcast': lambda array: np.broadcast_to(array, (3, *array.shape)),
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
    """Return dtype, shape and bytes in native order, to which numpy pickles may convert."""
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
    """Start a process that returns each message; yield this end and the process."""
    ours, theirs = SharedMemoryPipe.pair()
    arguments = [sys.executable, '-c', ECHO, *map(str, theirs.descriptors)]
    with subprocess.Popen(
        arguments, pass_fds=theirs.descriptors, stderr=subprocess.DEVNULL
    ) as process:
        theirs.close()
        yield ours, process
        ours.close()


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def open_descriptors():
    return sorted(Path('/proc/self/fd').iterdir())


@settings(deadline=None)
@given(message=MESSAGES, back=st.booleans())
def test_a_message_arrives_unchanged(old_ends, message, back):
    """One pipe for all of them, so that a message comes after smaller and larger ones."""
    sender, receiver = old_ends[::-1] if back else old_ends
    sender.send(message)
    assert same(receiver.recv(), message)


@pytest.mark.parametrize('order', ['C', 'F'])
def test_memory_order_is_kept(ends, order):
    ends[0].send(np.ones((3, 4, 5), order=order))
    assert ends[1].recv().flags[f'{order}_CONTIGUOUS']


@pytest.mark.parametrize('order', ORDERS)
def test_arrays_are_private_copies(ends, order):
    sender, receiver = ends
    there = []
    for number in range(3 * BUFFERS):
        sent = ORDERS[order](np.full((4, 6, 8), number))
        shape = sent.shape
        sender.send([sent, sent[0]])
        if sent.flags.writeable:
            sent[:] = -1
        there.append(receiver.recv())
    for number, (whole, part) in enumerate(there):
        assert whole.shape == shape
        assert (whole == number).all()
        assert (part == number).all()
        whole[:] = -2
        assert (part == number).all()


def test_read_only_arrays_stay_read_only(ends):
    array = np.arange(9)
    array.flags.writeable = False
    ends[0].send(array)
    assert not ends[1].recv().flags.writeable


def test_arrays_are_aligned(ends):
    ends[0].send([np.ones(3, np.uint8), np.ones(5), np.ones(1, np.uint8), np.ones(3, complex)])
    assert all(array.flags.aligned for array in ends[1].recv())


def test_messages_grow_and_shrink(ends):
    sizes = [0, 1, 10**3, 10**6, 5, 2 * 10**6, 0, 3 * 10**6, 10**6, 4 * 10**6]
    for size in sizes:
        ends[0].send(np.arange(size, dtype=np.uint16))
        assert same(ends[1].recv(), np.arange(size, dtype=np.uint16))


def test_messages_to_and_from_a_process(ends):
    """Several messages are under way at once, in both directions."""
    with echo() as (pipe, _):
        for first in range(0, 30, BUFFERS):
            sent = [
                {'n': n, 'image': np.full((n, 40, 3), n)} for n in range(first, first + BUFFERS)
            ]
            for message in sent:
                pipe.send(message)
            assert same([pipe.recv() for _ in sent], sent)


@pytest.mark.parametrize('size', [10, 3_000_000])
def test_both_ends_may_send_before_either_receives(ends, size):
    for number in range(BUFFERS):
        for end in ends:
            end.send({number: np.arange(2 * size)[::2], 'text': 'x' * size})
    for number in range(BUFFERS):
        for end in ends:
            assert same(end.recv()[number], np.arange(0, 2 * size, 2))


def test_send_blocks_while_the_buffers_are_unread(ends):
    sender, receiver = ends
    sent, count = threading.Semaphore(0), 20

    def send():
        for number in range(count):
            sender.send(np.full(1000, number))
            sent.release()

    thread = in_thread(send)
    for _ in range(BUFFERS):
        assert sent.acquire(timeout=TIMEOUT)
    for number in range(count):
        assert not sent.acquire(timeout=0.01)
        assert (receiver.recv() == number).all()
        if number < count - BUFFERS:
            assert sent.acquire(timeout=TIMEOUT)
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_recv_waits_for_a_message(ends):
    found = []
    thread = in_thread(lambda: found.append(ends[1].recv()))
    ends[0].send('now')
    thread.join(TIMEOUT)
    assert found == ['now']


def test_an_unpicklable_message_is_refused_and_uses_no_buffer(ends):
    for _ in range(2 * BUFFERS):
        with pytest.raises(TypeError, match='cannot pickle'):
            ends[0].send([np.ones(9), threading.Lock()])
    ends[0].send('still there')
    assert ends[1].recv() == 'still there'


def test_messages_of_a_closed_end_arrive_before_eof():
    closed, pipe = SharedMemoryPipe.pair()
    for number in range(BUFFERS):
        closed.send(np.full(9, number))
    closed.close()
    for number in range(BUFFERS):
        assert (pipe.recv() == number).all()
    for _ in range(2):
        with pytest.raises(EOFError):
            pipe.recv()
    pipe.close()


@pytest.mark.parametrize('unread', range(BUFFERS + 1))
def test_sending_to_a_closed_end_fails(unread):
    closed, pipe = SharedMemoryPipe.pair()
    for _ in range(unread):
        pipe.send(np.ones(9))
    closed.close()
    for _ in range(2):
        with pytest.raises(OSError, match=r'gone|pipe|reset'):
            pipe.send(np.ones(9))
    with pytest.raises(EOFError):
        pipe.recv()
    pipe.close()


@pytest.mark.parametrize('full', [True, False])
def test_a_blocked_end_notices_that_the_other_process_is_killed(full):
    """Blocked in `send()` or in `recv()`."""
    ended = []
    with echo() as (pipe, process):
        pipe.send(0)
        assert pipe.recv() == 0

        def wait():
            try:
                while True:
                    pipe.send(0) if full else pipe.recv()
            except (OSError, EOFError) as error:
                ended.append(error)

        thread = in_thread(wait)
        process.kill()
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert isinstance(ended[0], OSError if full else EOFError)


def test_no_file_descriptor_leaks():
    before = open_descriptors()
    for _ in range(3):
        with both_ends() as (one, other):
            for size in (10, 1000, 100_000):
                for end, to in ((one, other), (other, one)):
                    end.send(np.ones(size))
                    to.recv()
            assert len(open_descriptors()) >= len(before) + 2 * DESCRIPTORS
        with echo() as (pipe, _):
            pipe.send(np.ones(9))
            pipe.recv()
    assert open_descriptors() == before


def test_the_memory_is_anonymous(ends):
    """Writing to a full /dev/shm kills the process, and that of a container is small."""
    names = [str(Path(f'/proc/self/fd/{n}').readlink()) for end in ends for n in end.descriptors]
    assert {name.partition(':')[0] for name in names} == {'socket', '/memfd'}


def test_a_wrong_number_of_descriptors_is_refused():
    with pytest.raises(
        ValueError, match=f'an end of a pipe has {DESCRIPTORS} file descriptors, got 2'
    ):
        SharedMemoryPipe([0, 1])
