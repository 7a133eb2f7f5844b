# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of many recordings: serially, in several processes, or on a Ray cluster.

A recording is the unit of work. Results are returned in the order of the recordings, so that sums
over them are bit-identical however the work was distributed.
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
from adamtl_ros.evaluation.bags.process import WorkerProcessError, start_worker
from adamtl_ros.evaluation.bags.result import BagResult
from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.nn.io.checkpoint import load_model, shipped_weights
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adamtl_ros.evaluation.bags.result import EvaluationSettings

    Progress = Callable[[], object]

CONNECT_TIMEOUT_S = 5.0
"""Timeout of the connection to the head of a cluster."""

ATTEMPTS = 4
"""Number of lost workers after which a bag is given up."""

LOST = f'the worker was lost {ATTEMPTS} times (out of memory?)'


@dataclass(frozen=True)
class Job:
    """Recording to evaluate.

    Attributes:
        path: Path of the bag; on a cluster, on a disk that all machines share.
        name: Name of its result.

    """

    path: Path
    name: str


def evaluate_serially(
    jobs: Sequence[Job], settings: EvaluationSettings, progress: Progress | None = None
) -> list[BagResult]:
    """Evaluate recordings in this process; `progress` is called after each frame."""
    return [_evaluate(job, settings, progress) for job in jobs]


def evaluate_in_processes(
    jobs: Sequence[Job],
    settings: EvaluationSettings,
    workers: int,
    progress: Progress | None = None,
) -> list[BagResult]:
    """Evaluate recordings in several processes.

    The bags of a lost process are evaluated again; a bag that loses several is a failure.

    Args:
        jobs: Recordings to evaluate.
        settings: Settings of the evaluation.
        workers: Number of processes.
        progress: Callback after each recording.

    """
    done: dict[int, BagResult] = {}
    settings = with_absolute_paths(settings)
    for _ in range(ATTEMPTS):
        left = [index for index in range(len(jobs)) if index not in done]
        try:
            with ProcessPoolExecutor(workers, get_context('spawn'), _ignore_interrupts) as pool:
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
    """Evaluate recordings on a Ray cluster.

    Ray repeats the bag of a lost worker or machine on another one; a bag that loses several is a
    failure. Each task takes as many CPUs as the network has threads.

    Args:
        jobs: Recordings to evaluate.
        settings: Settings of the evaluation.
        address: Address of the cluster, HOST:PORT or ray://HOST:PORT; 'auto' finds one that runs
            on this machine, 'local' starts one.
        progress: Callback after each recording.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ValueError: The address has another form.
        ConnectionError: No cluster answers at the address.

    """
    import ray

    settings, started = with_absolute_paths(settings), not ray.is_initialized()
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
    """Raise an error if no cluster answers at an address; Ray itself retries for minutes or more.

    Raises:
        ValueError: The address has another form.
        ConnectionError: No cluster answers at the address.

    """
    if address in ('auto', 'local'):
        return
    host, _, port = address.removeprefix('ray://').rpartition(':')
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"--ray takes HOST:PORT, ray://HOST:PORT, auto or local, got '{address}'")
    try:
        socket.create_connection((host.strip('[]'), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at '{address}': {error}; `ray start --head` prints the "
            'address of its head, auto finds one that runs here'
        ) from error


def with_absolute_paths(settings: EvaluationSettings) -> EvaluationSettings:
    """Return settings with absolute paths, for processes with another working folder."""
    model, out = settings.model, settings.out and settings.out.absolute()
    named = model in shipped_weights() or model in ARCHITECTURES
    adapter = settings.adapter and settings.adapter.absolute()
    model = model if named else str(Path(model).absolute())
    return replace(settings, model=model, out=out, adapter=adapter)


def _fetch(ray: Any, reference: Any, job: Job) -> BagResult:
    try:
        result: BagResult = ray.get(reference)
    except ray.exceptions.RayError:
        return _lost(job)
    return result


def _lost(job: Job) -> BagResult:
    return BagResult(job.name, '', IssueLog(), failure=LOST)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent process, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _evaluate(
    job: Job, settings: EvaluationSettings, progress: Progress | None = None
) -> BagResult:
    """Evaluate a recording; an error becomes the failure of its result."""
    made_by = settings.engine, settings.precision
    engine = _engine(settings.model, settings.threads, settings.adapter, *made_by)
    try:
        for _ in range(ATTEMPTS):
            with suppress(WorkerProcessError):
                return evaluate_bag(job.path, engine, settings, progress, job.name)
    except Exception as error:  # noqa: BLE001
        return _failed(job, settings, f'{type(error).__name__}: {error}')
    return _failed(job, settings, LOST)


def _failed(job: Job, settings: EvaluationSettings, reason: str) -> BagResult:
    if settings.out:
        remove_outputs(settings.out / job.name)
    return BagResult(job.name, '', IssueLog(), failure=reason)


@lru_cache(maxsize=1)
def _engine(model: str, threads: int, adapter: Path | None, engine: str, precision: str) -> Engine:
    """Return the engine of this process, created for its first recording."""
    start_worker()
    set_threads(threads)
    made = Engine(load_model(model, adapter), engine=engine, precision=precision)
    made.warm_up()
    return made
