# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Many recordings: one after another, in several processes, or on many machines with Ray.

A recording is the unit of work. Results come back in the order of the recordings whoever made
them, so that sums over them are the same bit for bit.
"""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags.evaluate import evaluate_bag
from adamtl_ros.evaluation.bags.outputs import remove_outputs
from adamtl_ros.evaluation.bags.process import WorkerProcessError, prepare
from adamtl_ros.evaluation.bags.result import BagResult
from adamtl_ros.nn.io.checkpoint import load_model, shipped_weights
from adamtl_ros.nn.swin.architecture import ARCHITECTURES
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adamtl_ros.evaluation.bags.result import EvaluationSettings

    Progress = Callable[[], object]

ANSWER_S = 5.0
"""Time in which the head of a cluster must answer."""

ATTEMPTS = 4
"""A bag is given up after so many workers were lost over it."""

LOST = f'{ATTEMPTS} times the worker that did it was lost (out of memory?)'


@dataclass(frozen=True)
class Job:
    """A recording to be evaluated.

    Attributes:
        path: Of the bag; on many machines, on a disk that all of them see.
        name: Of its results.

    """

    path: Path
    name: str


def evaluate_here(
    jobs: Sequence[Job], settings: EvaluationSettings, progress: Progress | None = None
) -> list[BagResult]:
    """Evaluate recordings in this process; progress is called after each frame."""
    return [_evaluate(job, settings, progress) for job in jobs]


def evaluate_in_processes(
    jobs: Sequence[Job],
    settings: EvaluationSettings,
    workers: int,
    progress: Progress | None = None,
) -> list[BagResult]:
    """Evaluate recordings in several processes; progress is called after each recording.

    The bags of a process that is lost are done again; one that loses several is a failure.
    """
    done: dict[int, BagResult] = {}
    settings = for_elsewhere(settings)
    for _ in range(ATTEMPTS):
        left = [index for index in range(len(jobs)) if index not in done]
        try:
            with ProcessPoolExecutor(workers, get_context('spawn'), _leave_interrupts) as pool:
                futures = {pool.submit(_evaluate, jobs[i], settings): i for i in left}
                for future in as_completed(futures):
                    done[futures[future]] = future.result()
                    if progress:
                        progress()
        except BrokenProcessPool:
            continue
        break
    return [done.get(index) or _lost(job) for index, job in enumerate(jobs)]


def evaluate_on_ray(
    jobs: Sequence[Job],
    settings: EvaluationSettings,
    address: str,
    progress: Progress | None = None,
) -> list[BagResult]:
    """Evaluate recordings on a Ray cluster; progress is called after each recording.

    Ray does the bag of a worker or machine that is lost again on another one; one that loses
    several is a failure. Each task takes as many CPUs as the network has threads.

    Args:
        jobs: The recordings.
        settings: What to evaluate.
        address: Of the cluster, as HOST:PORT or ray://HOST:PORT; 'auto' finds the one that runs
            here, 'local' starts one.
        progress: Called after each recording.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ValueError: An address of another form.
        ConnectionError: Nothing answers there.

    """
    import ray

    settings, started = for_elsewhere(settings), not ray.is_initialized()
    if started:
        check_address(address)
        ray.init(address=None if address == 'local' else address, log_to_driver=False)
    try:
        task = ray.remote(num_cpus=settings.threads, max_retries=ATTEMPTS - 1)(_evaluate)
        pending: list[Any] = [task.remote(job, settings) for job in jobs]
        order = list(pending)
        while pending:
            _, pending = ray.wait(pending)
            if progress:
                progress()
        return [_fetch(ray, reference, job) for reference, job in zip(order, jobs, strict=True)]
    finally:
        if started:
            ray.shutdown()


def check_address(address: str) -> None:
    """Refuse a cluster where nothing answers; Ray itself would try for minutes, or for ever.

    Raises:
        ValueError: An address of another form.
        ConnectionError: Nothing answers there.

    """
    if address in ('auto', 'local'):
        return
    host, _, port = address.removeprefix('ray://').rpartition(':')
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"--ray takes HOST:PORT, ray://HOST:PORT, auto or local, got '{address}'")
    try:
        socket.create_connection((host.strip('[]'), int(port)), ANSWER_S).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at '{address}': {error}; `ray start --head` prints the "
            'address of its head, auto finds one that runs here'
        ) from error


def for_elsewhere(settings: EvaluationSettings) -> EvaluationSettings:
    """Return settings whose files are found from any working folder."""
    model, out = settings.model, settings.out and settings.out.absolute()
    named = model in shipped_weights() or model in ARCHITECTURES
    adapter = settings.adapter and settings.adapter.absolute()
    model = model if named else str(Path(model).absolute())
    return replace(settings, model=model, out=out, adapter=adapter)


def _fetch(ray: Any, reference: Any, job: Job) -> BagResult:  # noqa: ANN401
    try:
        result: BagResult = ray.get(reference)
    except ray.exceptions.RayError:
        return _lost(job)
    return result


def _lost(job: Job) -> BagResult:
    return BagResult(job.name, '', IssueLog(), failure=LOST)


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _evaluate(
    job: Job, settings: EvaluationSettings, progress: Progress | None = None
) -> BagResult:
    """Evaluate a recording; whatever goes wrong is said in its result, and costs no other one."""
    engine = _engine(settings.model, settings.threads, settings.adapter)
    try:
        for _ in range(ATTEMPTS):
            with suppress(WorkerProcessError):
                return evaluate_bag(job.path, engine, settings, progress, job.name)
    except Exception as error:  # noqa: BLE001
        return _failed(job, settings, f'{type(error).__name__}: {error}')
    return _failed(job, settings, LOST)


def _failed(job: Job, settings: EvaluationSettings, why: str) -> BagResult:
    if settings.out:
        remove_outputs(settings.out / job.name)
    return BagResult(job.name, '', IssueLog(), failure=why)


@lru_cache(maxsize=1)
def _engine(model: str, threads: int, adapter: Path | None) -> Engine:
    """Return the engine of this process, made for its first recording."""
    prepare()
    set_threads(threads)
    engine = Engine(load_model(model, adapter))
    engine.warm_up()
    return engine
