# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Remote calls: messages, exceptions, and how caller and worker process end."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import worker_functions

from adamtl_ros.evaluation.bags import process as workers
from adamtl_ros.evaluation.bags.process import WorkerProcessError, remote_call

TIMEOUT = 60  # seconds until a test that hangs fails

CALLER = """
import signal, sys
from pathlib import Path
# A shell that starts the tests in the background lets them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.append({helpers!r})
from helpers import worker_functions
from adamtl_ros.evaluation.bags.process import remote_call
with remote_call(worker_functions.{function}, Path(sys.argv[1])) as call:
    for message in call:
        print(message, flush=True)
        if {stall}:
            input()
"""


@pytest.fixture(autouse=True, scope='module')
def _tidy():
    """End the idle worker processes of these tests."""
    yield
    workers._end_idle_workers()


def result_of(function, *arguments):
    """Return the result of a function that sends nothing."""
    with remote_call(function, *arguments) as call:
        assert list(call) == []
    return call.result


class BlockError(Exception):
    """Raised inside the block of a call."""


def abort(function, *arguments, unread=0):
    """Call a function that sends its process id, send to it, and raise an error with the id."""
    with remote_call(function, *arguments) as call:
        pid = next(iter(call))
        for _ in range(unread):
            call.send('message')
        raise BlockError(pid)


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def caller(function, *, stall=False):
    """Return a script that prints the messages of a function, or stalls after the first one."""
    helpers = str(Path(worker_functions.__file__).parents[1])
    return CALLER.format(helpers=helpers, function=function, stall=stall)


def start_caller(function, file, *, stall=False):
    """Start a script that calls a function, and wait for the id of the worker process."""
    arguments = [sys.executable, '-c', caller(function, stall=stall), file]
    pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
    process = subprocess.Popen(arguments, text=True, start_new_session=True, **pipes)
    assert int(process.stdout.readline()) != process.pid
    return process


def test_messages_arrive_in_order():
    with remote_call(worker_functions.echo, 20, 100) as call:
        call.send(0)
        answers = []
        for number, answer in enumerate(call, 1):
            answers.append(answer)
            call.send(number)
    assert answers == [(n, 100 + n * (n + 1) // 2) for n in range(20)]
    assert call.result != os.getpid()


def test_messages_precede_the_result():
    with remote_call(worker_functions.countdown, 10) as call:
        assert call.result is None
        assert list(call) == [*reversed(range(10))]
    assert call.result == 'done'


def test_the_worker_is_reused_for_the_next_call():
    first = result_of(worker_functions.process)
    assert {result_of(worker_functions.process) for _ in range(5)} == {first}
    with remote_call(worker_functions.echo, 0) as call:
        call.send('unread')
        assert list(call) == []
    assert result_of(worker_functions.process) == first == call.result


def test_the_worker_has_the_import_path_of_the_caller():
    workers._end_idle_workers()  # an idle worker has the path of when it started
    assert result_of(worker_functions.path) == sys.path


def test_files_in_the_working_folder_are_not_imported(tmp_path):
    script, folder = tmp_path / 'bin' / 'script.py', tmp_path / 'here'
    for name in (script, folder / 'numpy.py'):
        name.parent.mkdir()
        name.write_text('raise SystemExit("the wrong numpy")')
    script.write_text(caller('countdown').replace('Path(sys.argv[1])', '3'))
    done = subprocess.run(
        [sys.executable, script], cwd=folder, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ['2', '1', '0'], '')


@pytest.mark.parametrize(
    'error',
    [KeyError('k'), FileNotFoundError(2, 'no such file', 'name'), EOFError('cut off'),
     BrokenPipeError(32, 'of its own'), UnicodeDecodeError('utf-8', b'ab', 0, 1, 'odd')],
    ids=repr,
)  # fmt: skip
def test_an_exception_of_the_function_is_raised_in_the_caller(error):
    with pytest.raises(type(error)) as caught:
        result_of(worker_functions.fail, error)
    assert (caught.value.args, str(caught.value)) == (error.args, str(error))
    assert isinstance(caught.value.__cause__, WorkerProcessError)
    assert 'worker_functions.py' in str(caught.value.__cause__)
    assert 'in fail\n' in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ('kind', 'text'),
    [('unpicklable', 'Unpicklable: a lock'), ('not unpicklable', 'NotUnpicklable: this and that')],
)
def test_an_unpicklable_exception_keeps_its_text(kind, text):
    with pytest.raises(RuntimeError, match=text) as caught:
        result_of(worker_functions.fail_unpicklable, kind)
    assert 'in fail_unpicklable' in str(caught.value.__cause__)


def test_an_unpicklable_message_is_an_error_of_the_function():
    with pytest.raises(TypeError, match='cannot pickle') as caught:
        result_of(worker_functions.send_unpicklable)
    assert 'in send_unpicklable' in str(caught.value.__cause__)


def test_an_exception_ends_the_worker():
    first = result_of(worker_functions.process)
    with pytest.raises(KeyError):
        result_of(worker_functions.fail, KeyError())
    assert is_gone(first)
    assert result_of(worker_functions.process) != first


@pytest.mark.parametrize('sends', [False, True])
def test_a_killed_worker_is_an_error(tmp_path, sends):
    def converse():
        with remote_call(worker_functions.wait_and_log, tmp_path / 'file') as call:
            for pid in call:
                os.kill(pid, signal.SIGKILL)
                while sends:
                    call.send('message')

    with pytest.raises(WorkerProcessError, match='has died with exit code -9'):
        converse()


def test_a_worker_that_exits_is_an_error():
    with pytest.raises(WorkerProcessError, match='has died with exit code 3'):
        result_of(worker_functions.exit_with, 3)


def test_a_worker_killed_between_calls_is_replaced():
    first = result_of(worker_functions.process)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert result_of(worker_functions.process) != first


@pytest.mark.parametrize('unread', [0, 1])
def test_an_error_in_the_block_lets_the_function_clean_up(tmp_path, unread):
    with pytest.raises(BlockError) as caught:
        abort(worker_functions.wait_and_log, tmp_path / 'file', unread=unread)
    assert (tmp_path / 'file').read_text() == 'EOFError'
    assert is_gone(*caught.value.args)


def test_a_function_that_only_sends_cleans_up(tmp_path):
    with pytest.raises(BlockError):
        abort(worker_functions.send_forever, tmp_path / 'file')
    assert (tmp_path / 'file').read_text() == 'caller is gone'


def test_leaving_the_block_early_does_not_affect_the_next_call(tmp_path):
    with remote_call(worker_functions.wait_and_log, tmp_path / 'file') as call:
        pid = next(iter(call))
    assert (tmp_path / 'file').read_text() == 'EOFError'
    assert is_gone(pid)
    assert (call.result, call.returned) == (None, False)
    assert result_of(worker_functions.process) != pid


def test_a_worker_that_ignores_the_end_is_killed(monkeypatch):
    monkeypatch.setattr(workers, 'SHUTDOWN_TIMEOUT_S', 0.1)
    with pytest.raises(BlockError) as caught:
        abort(worker_functions.ignore_eof)
    assert is_gone(*caught.value.args)


@pytest.mark.parametrize(
    ('function', 'last'), [('wait_and_log', 'EOFError'), ('send_forever', 'caller is gone')]
)
def test_no_worker_outlives_the_caller(tmp_path, function, last):
    """The standard output of the caller is open until the worker ends too."""
    started = start_caller(function, tmp_path / 'file', stall=True)
    started.kill()
    started.communicate(timeout=TIMEOUT)
    assert (tmp_path / 'file').read_text() == last


def test_an_interrupt_reaches_the_function_through_its_caller(tmp_path):
    """Ctrl-C reaches all processes of a terminal."""
    started = start_caller('wait_and_log', tmp_path / 'file')
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=TIMEOUT)
    assert errors.count('KeyboardInterrupt') == 1
    assert (tmp_path / 'file').read_text() == 'EOFError'


def test_an_interrupt_of_the_worker_alone_is_ignored():
    with remote_call(worker_functions.echo, 2) as call:
        call.send(1)
        for _ in call:
            os.kill(call._process._process.pid, signal.SIGINT)
            call.send(2)
    assert call.result == call._process._process.pid


def test_calls_of_several_threads_are_independent():
    count, together = 3, threading.Barrier(3)

    def converse(first):
        with remote_call(worker_functions.echo, 20, first) as call:
            together.wait(TIMEOUT)
            call.send(0)
            received = []
            for number, answer in enumerate(call, 1):
                received.append(answer)
                call.send(number)
        assert received == [(n, first + n * (n + 1) // 2) for n in range(20)]
        return call.result

    with ThreadPoolExecutor(count) as pool:
        for _ in range(2):
            processes = set(pool.map(converse, range(count)))
            assert len(processes) == count


def test_no_file_descriptor_leaks():
    workers._end_idle_workers()
    before = sorted(Path('/proc/self/fd').iterdir())
    result_of(worker_functions.process)
    with pytest.raises(KeyError):
        result_of(worker_functions.fail, KeyError())
    last = result_of(worker_functions.process)
    workers._end_idle_workers()
    assert is_gone(last)
    assert sorted(Path('/proc/self/fd').iterdir()) == before


def test_a_started_worker_takes_the_next_call():
    workers._end_idle_workers()
    workers.start_worker()
    workers.start_worker()
    (waiting,) = workers._idle
    assert result_of(worker_functions.process) == waiting._process.pid
