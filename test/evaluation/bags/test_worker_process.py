# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A function in a process beside this one: what is said, what fails, and how each of them ends."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import other_side

from adamtl_ros.evaluation.bags import process as neighbour
from adamtl_ros.evaluation.bags.process import WorkerProcessError, calling

PATIENCE = 60  # seconds until a test that hangs fails

CALLER = """
import signal, sys
from pathlib import Path
# A shell that starts the tests in the background lets them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.append({helpers!r})
from helpers import other_side
from adamtl_ros.evaluation.bags.process import calling
with calling(other_side.{function}, Path(sys.argv[1])) as call:
    for said in call:
        print(said, flush=True)
        if {deaf}:
            input()
"""


@pytest.fixture(autouse=True, scope='module')
def _tidy():
    """Leave none of these processes to other tests."""
    yield
    neighbour._end_all()


def ask(function, *arguments):
    """Return the result of a function that says nothing."""
    with calling(function, *arguments) as call:
        assert list(call) == []
    return call.result


class OfTheBlock(Exception):  # noqa: N818
    """What the block of a call ends by."""


def break_off(function, *arguments, unheard=0):
    """Call a function that says its process, tell it something, and raise an error with that."""
    with calling(function, *arguments) as call:
        pid = next(iter(call))
        for _ in range(unheard):
            call.tell('something')
        raise OfTheBlock(pid)


def vanished(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def caller(function, *, deaf=False):
    """Return a script that prints what a function says; a deaf one stops after the first word."""
    helpers = str(Path(other_side.__file__).parents[1])
    return CALLER.format(helpers=helpers, function=function, deaf=deaf)


def start_caller(function, file, *, deaf=False):
    """Start a script that calls a function, which has said its process."""
    arguments = [sys.executable, '-c', caller(function, deaf=deaf), file]
    pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
    process = subprocess.Popen(arguments, text=True, start_new_session=True, **pipes)
    assert int(process.stdout.readline()) != process.pid
    return process


def test_what_is_told_and_said_comes_in_order():
    with calling(other_side.echo, 20, 100) as call:
        call.tell(0)
        answers = []
        for number, answer in enumerate(call, 1):
            answers.append(answer)
            call.tell(number)
    assert answers == [(n, 100 + n * (n + 1) // 2) for n in range(20)]
    assert call.result != os.getpid()


def test_what_is_said_before_the_result_comes_before_it():
    with calling(other_side.countdown, 10) as call:
        assert call.result is None
        assert list(call) == [*reversed(range(10))]
    assert call.result == 'done'


def test_the_process_is_kept_for_the_next_call():
    first = ask(other_side.process)
    assert {ask(other_side.process) for _ in range(5)} == {first}
    with calling(other_side.echo, 0) as call:
        call.tell('something that nobody listens to')
        assert list(call) == []
    assert ask(other_side.process) == first == call.result


def test_the_process_imports_what_this_one_would():
    neighbour._end_all()  # one that waits has the path of when it began
    assert ask(other_side.path) == sys.path


def test_files_in_the_working_folder_are_no_modules(tmp_path):
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
def test_an_error_of_the_function_arrives_as_itself(error):
    with pytest.raises(type(error)) as caught:
        ask(other_side.fail, error)
    assert (caught.value.args, str(caught.value)) == (error.args, str(error))
    assert isinstance(caught.value.__cause__, WorkerProcessError)
    assert 'other_side.py' in str(caught.value.__cause__)
    assert 'in fail\n' in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ('kind', 'text'), [('opaque', 'Opaque: a lock'), ('odd', 'Odd: this and that')]
)
def test_an_error_that_cannot_travel_arrives_by_what_it_says(kind, text):
    with pytest.raises(RuntimeError, match=text) as caught:
        ask(other_side.fail_oddly, kind)
    assert 'in fail_oddly' in str(caught.value.__cause__)


def test_what_cannot_be_said_is_an_error_of_the_function():
    with pytest.raises(TypeError, match='cannot pickle') as caught:
        ask(other_side.say_the_unsayable)
    assert 'in say_the_unsayable' in str(caught.value.__cause__)


def test_an_error_ends_the_process():
    first = ask(other_side.process)
    with pytest.raises(KeyError):
        ask(other_side.fail, KeyError())
    assert vanished(first)
    assert ask(other_side.process) != first


@pytest.mark.parametrize('tells', [False, True])
def test_a_process_that_is_killed_is_an_error(tmp_path, tells):
    def talk():
        with calling(other_side.put_away, tmp_path / 'file') as call:
            for pid in call:
                os.kill(pid, signal.SIGKILL)
                while tells:
                    call.tell('something')

    with pytest.raises(WorkerProcessError, match='is gone, with exit code -9'):
        talk()


def test_a_process_that_leaves_is_an_error():
    with pytest.raises(WorkerProcessError, match='is gone, with exit code 3'):
        ask(other_side.leave, 3)


def test_a_process_that_was_killed_between_two_calls_is_replaced():
    first = ask(other_side.process)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert ask(other_side.process) != first


@pytest.mark.parametrize('unheard', [0, 1])
def test_an_error_in_the_block_lets_the_function_put_its_things_away(tmp_path, unheard):
    with pytest.raises(OfTheBlock) as caught:
        break_off(other_side.put_away, tmp_path / 'file', unheard=unheard)
    assert (tmp_path / 'file').read_text() == 'EOFError'
    assert vanished(*caught.value.args)


def test_who_talks_to_nobody_puts_its_things_away(tmp_path):
    with pytest.raises(OfTheBlock):
        break_off(other_side.chatter, tmp_path / 'file')
    assert (tmp_path / 'file').read_text() == 'nobody is there'


def test_a_block_that_ends_early_leaves_nothing_to_the_next_call(tmp_path):
    with calling(other_side.put_away, tmp_path / 'file') as call:
        pid = next(iter(call))
    assert (tmp_path / 'file').read_text() == 'EOFError'
    assert vanished(pid)
    assert (call.result, call.returned) == (None, False)
    assert ask(other_side.process) != pid


def test_who_does_not_listen_is_killed(monkeypatch):
    monkeypatch.setattr(neighbour, 'PATIENCE_S', 0.1)
    with pytest.raises(OfTheBlock) as caught:
        break_off(other_side.ignore)
    assert vanished(*caught.value.args)


@pytest.mark.parametrize(
    ('function', 'last'), [('put_away', 'EOFError'), ('chatter', 'nobody is there')]
)
def test_nobody_outlives_the_caller(tmp_path, function, last):
    """The output of the caller ends with the last process that has it."""
    started = start_caller(function, tmp_path / 'file', deaf=True)
    started.kill()
    started.communicate(timeout=PATIENCE)
    assert (tmp_path / 'file').read_text() == last


def test_an_interrupt_ends_the_function_by_its_caller(tmp_path):
    """Ctrl-C reaches all processes of a terminal."""
    started = start_caller('put_away', tmp_path / 'file')
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=PATIENCE)
    assert errors.count('KeyboardInterrupt') == 1
    assert (tmp_path / 'file').read_text() == 'EOFError'


def test_an_interrupt_does_not_disturb_the_function():
    with calling(other_side.echo, 2) as call:
        call.tell(1)
        for _ in call:
            os.kill(call._process._process.pid, signal.SIGINT)
            call.tell(2)
    assert call.result == call._process._process.pid


def test_calls_of_several_threads_do_not_disturb_each_other():
    count, together = 3, threading.Barrier(3)

    def talk(first):
        with calling(other_side.echo, 20, first) as call:
            together.wait(PATIENCE)
            call.tell(0)
            said = []
            for number, answer in enumerate(call, 1):
                said.append(answer)
                call.tell(number)
        assert said == [(n, first + n * (n + 1) // 2) for n in range(20)]
        return call.result

    with ThreadPoolExecutor(count) as pool:
        for _ in range(2):
            processes = set(pool.map(talk, range(count)))
            assert len(processes) == count


def test_no_file_is_left_behind():
    neighbour._end_all()
    before = sorted(Path('/proc/self/fd').iterdir())
    ask(other_side.process)
    with pytest.raises(KeyError):
        ask(other_side.fail, KeyError())
    last = ask(other_side.process)
    neighbour._end_all()
    assert vanished(last)
    assert sorted(Path('/proc/self/fd').iterdir()) == before


def test_a_process_that_is_prepared_is_the_one_that_is_called():
    neighbour._end_all()
    neighbour.prepare()
    neighbour.prepare()
    (waiting,) = neighbour._idle
    assert ask(other_side.process) == waiting._process.pid
