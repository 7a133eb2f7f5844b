# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stream of one camera: an engine with a memory, which spends its budget where the picture changes.

`Stream.step()` does all of it. Its three parts can be called one by one, so that the network can
run in another thread while frames go on: `observe()` follows the camera and says whether to
refresh, `run()` is the network, and `absorb()` takes its answer, warped to the newest frame if
there were frames meanwhile; `answer()` is what is known of the newest frame.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from adamtl_ros.focal import check_focal
from adamtl_ros.nn.gating.plan import OFF, uniform_plan
from adamtl_ros.nn.network import Cost
from adamtl_ros.runtime.engine import Inference
from adamtl_ros.runtime.pre_post_processing import network_size
from adamtl_ros.stream.account import LONGEST_GAP_S, Account
from adamtl_ros.stream.decision import Price, is_worth
from adamtl_ros.stream.flow import Flow, Track, is_cut, resize_places, thumbnail, warp
from adamtl_ros.stream.fusion import (
    DRIFTS,
    LEAST_VARIANCE,
    Drift,
    fuse,
    mirrored,
    rung_variance,
    to_fusable,
    weight,
)
from adamtl_ros.tasks import select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from adamtl_ros.runtime.engine import Engine, RawInference
    from adamtl_ros.stream.flow import Floats, Gray, Signs

Action = Literal['refreshed', 'reused', 'unknown']
Size = tuple[int, int]

FREE_BUDGETS = (1.0, 0.75, 0.5)
"""Shares of the MACs to choose from where a network has no ladder."""
CHANGED = 4.0
"""Residual from which a pixel shows something else than before."""
CALM = 0.02
"""Fraction of such pixels below which nothing moves by itself."""
BRIGHTNESS_JUMP = 25.0
"""Change of the mean gray value, of 255, from one frame to the next, that means the same."""
SIDES = re.compile(r'\b(left|right)\b')


@dataclass(frozen=True)
class StreamSettings:
    """Settings of a stream. The defaults need no fitting.

    Attributes:
        drifts: Growth of the variance of a warped answer, by task.
        mirror: Whether every second refresh sees the mirror image while nothing moves by itself.
            Its errors are others, so that they average out. Where things move there is no mean,
            and answers would alternate. Never done where a class is one side of something.
        account: Whether budgets are kept; otherwise `period` decides.
        period: Number of frames from one full refresh to the next, without an account.
        constant_weight: Weight of a new answer in place of that of the variances: 1 to hold the
            newest answer, less for a plain running mean. None for the variances.
        warped: Whether answers follow the optical flow; else they stay in place.

    """

    drifts: Mapping[str, Drift] = field(default_factory=lambda: dict(DRIFTS))
    mirror: bool = True
    account: bool = True
    period: int = 1
    constant_weight: float | None = None
    warped: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A period below 1, or a weight outside (0, 1].

        """
        if self.period < 1:
            raise ValueError(f'period must be 1 frame or more, got {self.period}')
        if self.constant_weight is not None and not 0 < self.constant_weight <= 1:
            raise ValueError(f'constant_weight must lie in (0, 1], got {self.constant_weight}')


@dataclass(frozen=True)
class StreamInference(Inference):
    """Results of one frame of a stream, and what was done for them.

    `cost` is that of this frame: 0 MACs if it was reused.

    Attributes:
        action: 'refreshed', 'reused', or 'unknown': nothing is known and the budget is spent;
            the results are then those of unknown pixels.
        reason: Why it was refreshed or is unknown, such as 'first frame'; empty otherwise.
        refreshed: Stamp of the frame of the newest answer in it [s]; NaN if there is none.
        age: Time since then [s].
        expected_error: Expected variance of the results by task, in units of that of one answer of
            the full network: 1 is as good as that. NaN if nothing is known.
        flow_ms: Time of optical flow and signs [ms].
        warp_ms: Time of warping and fusion [ms].
        balance: Balance of the budget account, in answers of the full network.
        spent: Mean share of the full MACs over the last 3 s.

    """

    action: Action
    reason: str
    refreshed: float
    age: float
    expected_error: dict[str, float]
    flow_ms: float
    warp_ms: float
    balance: float
    spent: float


@dataclass
class Refresh:
    """Request to run the network on a frame.

    Attributes:
        image: The frame, (H, W, 3) uint8 RGB.
        share: Share of the full MACs of the rung.
        tasks: Names of the tasks to compute.
        focal: Relative focal length; None if unknown.
        mirror: Whether the network is to see the mirror image.
        reason: Why.
        stamp: Stamp of the frame [s].
        track: Way of the pixels since that frame.

    """

    image: NDArray[np.uint8]
    share: float
    tasks: tuple[str, ...]
    focal: float | None
    mirror: bool
    reason: str
    stamp: float
    track: Track


@dataclass
class _Known:
    """Answer at the frame of a track, by task."""

    maps: dict[str, Floats]
    variances: dict[str, Floats]
    track: Track
    stamp: float

    @property
    def size(self) -> Size:
        return _size(self.maps)


@dataclass
class _Frame:
    """Newest frame."""

    size: Size
    gray: Gray
    stamp: float
    focal: float | None
    tasks: tuple[str, ...]


class Stream:
    """Stream of one camera; one object for each.

    Not thread-safe, but `run()` may be called in another thread than everything else.

    Attributes:
        engine: Engine with the model.
        account: Budget account.

    Examples:
        >>> stream = Stream(Engine(load_model()))
        >>> for image, stamp in camera:  # (H, W, 3) uint8 RGB, seconds
        ...     inference = stream.step(image, stamp, budget=0.25)
        ...     inference.results['depth'], inference.action, inference.age

    """

    def __init__(self, engine: Engine, settings: StreamSettings | None = None) -> None:
        """Start before the first frame.

        Args:
            engine: Engine with the model; several streams may share one.
            settings: Settings; the defaults if not given.

        """
        self.engine = engine
        self.settings = settings or StreamSettings()
        self.account = Account()
        self._price = Price()
        self._flow = Flow()
        self._frame: _Frame | None = None
        self._known: _Known | None = None
        self._pending: Refresh | None = None
        self._done: tuple[Refresh, RawInference] | None = None
        self._signs: tuple[Track, Signs] | None = None
        self._started = False
        self._frames = self._refreshes = 0
        self._why = 'first frame'
        self._times = {'flow': 0.0, 'warp': 0.0}
        classes = [name for task in engine.model.network.tasks.values() for name in task.classes]
        one_sided = any(SIDES.search(name.replace('_', ' ')) for name in classes)
        self._mirrors = self.settings.mirror and not one_sided

    def forget(self, why: str = 'forgotten') -> None:
        """Forget everything that is known of the picture; the account stays."""
        self._known = self._pending = None
        self._why = why

    def step(
        self,
        image: NDArray[np.uint8],
        stamp: float,
        budget: float = 1.0,
        tasks: Iterable[str] | None = None,
        focal: float | None = None,
        *,
        ceiling: float = 1.0,
    ) -> StreamInference:
        """Answer a frame of the camera.

        A cut, a jump of the brightness, a covered lens, another image size, focal length or set of
        tasks, and stamps that go back or jump by more than a second make it forget what it knows
        and refresh.

        Args:
            image: RGB image, (H, W, 3) uint8.
            stamp: Time at which it was taken [s], any origin.
            budget: Mean share of the full MACs that a frame may spend, in (0, 1].
            tasks: Names of the requested tasks; all if not given.
            focal: Relative focal length; see `Engine.run()`.
            ceiling: Largest share that a single frame may spend, as a deadline asks for.

        Raises:
            ValueError: As `Engine.run()`, or a stamp that is not finite.

        """
        refresh = self.observe(image, stamp, budget, tasks, focal, ceiling=ceiling)
        if refresh is not None:
            try:
                raw = self.run(refresh)
            except BaseException:
                self.abandon(refresh)
                raise
            self.absorb(refresh, raw)
        return self.answer()

    def observe(
        self,
        image: NDArray[np.uint8],
        stamp: float,
        budget: float = 1.0,
        tasks: Iterable[str] | None = None,
        focal: float | None = None,
        *,
        ceiling: float = 1.0,
    ) -> Refresh | None:
        """Go on to a frame, and decide whether to refresh.

        Args:
            image: See `step()`, as for the others.
            stamp: Time at which it was taken [s].
            budget: Mean share of the full MACs.
            tasks: Names of the requested tasks.
            focal: Relative focal length.
            ceiling: Largest share of a single frame.

        Returns:
            Refresh, already paid from the account, whose answer `absorb()` expects; None to reuse
            what is known, or while another one is under way.

        Raises:
            ValueError: As `step()`.

        """
        self._check(image, stamp, budget, ceiling)
        begin = time.perf_counter()
        available = self.engine.tasks
        wanted = select(available if tasks is None else tasks, available)
        if not wanted:
            raise ValueError(f'no task is requested, choose from: {", ".join(available)}')
        lens = None if focal is None or math.isnan(focal) else check_focal(focal)
        frame = _Frame(image.shape[:2], thumbnail(image), stamp, lens, wanted)
        self.account.pay(budget, stamp - self._frame.stamp if self._frame else 0.0)
        self._price.update(self.account)
        self._follow(frame)
        self._frame, self._done, self._signs = frame, None, None
        self._frames += 1
        refresh = None if self._pending else self._decide(image, frame, ceiling)
        self._times = {'flow': (time.perf_counter() - begin) * 1000, 'warp': 0.0}
        return refresh

    def run(self, refresh: Refresh) -> RawInference:
        """Run the network for a refresh. Changes nothing in the stream.

        Args:
            refresh: Return value of `observe()`.

        """
        image = refresh.image
        if refresh.mirror:
            image = np.ascontiguousarray(image[:, ::-1])
        # The share of a rung is a quotient of MACs, and must not be missed by its rounding.
        budget = min(1.0, refresh.share * (1 + 1e-9))
        return self.engine.infer(image, budget, refresh.tasks, refresh.focal)

    def absorb(self, refresh: Refresh, raw: RawInference) -> None:
        """Fuse the answer of a refresh with what is known.

        Args:
            refresh: Return value of `observe()`; one that is no longer expected, since everything
                was forgotten meanwhile, is ignored.
            raw: Return value of `run()` for it.

        """
        self.account.draw(raw.cost.fraction - refresh.share)
        self._done = refresh, raw
        if refresh is not self._pending:
            return
        begin = time.perf_counter()
        self._pending = None
        self._refreshes += 1
        new, size = self._new_maps(refresh, raw)
        known = self._at_newest(size, refresh.tasks) if self._known else None
        self._known = self._fused(refresh, raw.cost.fraction, new, known)
        self._times['warp'] += (time.perf_counter() - begin) * 1000

    def abandon(self, refresh: Refresh) -> None:
        """Give up a refresh whose `run()` failed; it is paid back, and another one may follow.

        Args:
            refresh: Return value of `observe()`.

        """
        self.account.draw(-refresh.share)
        if refresh is self._pending:
            self._pending = None

    def answer(self) -> StreamInference:
        """Return what is known of the newest frame.

        Raises:
            RuntimeError: No frame was observed yet.

        """
        frame = self._frame
        if frame is None:
            raise RuntimeError('there is no frame yet; call observe() or step() first')
        begin = time.perf_counter()
        if self._known is None:
            maps = self._unknown(frame.tasks)
            errors = dict.fromkeys(frame.tasks, math.nan)
        else:
            now = self._at_newest(self._known.size, frame.tasks)
            maps = now.maps
            errors = {name: float(plane.mean()) for name, plane in now.variances.items()}
        warped = time.perf_counter()
        size = self._input_size(frame) if self.engine.output == 'network' else frame.size
        results = self.engine.postprocess(maps, size)
        done = time.perf_counter()
        self._times['warp'] += (warped - begin) * 1000
        return self._inference(frame, results, errors, (done - warped) * 1000)

    def _check(self, image: NDArray[np.uint8], stamp: float, budget: float, ceiling: float) -> None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f'image must be (H, W, 3) uint8 RGB and not empty, got {image.shape} {image.dtype}'
            )
        if not math.isfinite(stamp):
            raise ValueError(f'stamp must be a finite number of seconds, got {stamp}')
        for name, value in (('budget', budget), ('ceiling', ceiling)):
            if not 0 < value <= 1:
                raise ValueError(f'{name} must lie in (0, 1], got {value}')

    # Following the camera

    def _follow(self, frame: _Frame) -> None:
        """Let all tracks go on to a frame, or forget what cannot be true of it."""
        last = self._frame
        why = _break(last, frame) if last else ''
        if last is None or why:
            if why:
                self.forget(why)
            return
        if self._known and not set(frame.tasks) <= set(self._known.maps):
            self.forget('other tasks')
        tracks = [part.track for part in (self._known, self._pending) if part]
        if not tracks:
            return
        places = self._flow(last.gray, frame.gray)
        if is_cut(last.gray, frame.gray, places):
            self.forget('the picture changed')
        elif self.settings.warped:
            for track in tracks:
                track.advance(places)

    def _decide(self, image: NDArray[np.uint8], frame: _Frame, ceiling: float) -> Refresh | None:
        if not self.settings.account:
            due = self._known is None or (self._frames - 1) % self.settings.period == 0
            return self._refresh(image, frame, 1.0, 'period') if due else None
        every = self._shares(frame)
        shares = [share for share in every if share <= ceiling] or [min(every)]
        if self._known is None:
            payable = self._payable(shares) if self._started else shares
            return self._refresh(image, frame, max(payable), self._why) if payable else None
        best = max(shares)
        variances = self._variances(frame.tasks).values()
        if not (self.account.affords(best) and is_worth(variances, best, self._price.value)):
            return None
        return self._refresh(image, frame, best, 'worth it')

    def _payable(self, shares: Iterable[float]) -> list[float]:
        """Return the shares that an urgent refresh can be paid with."""
        return [share for share in shares if self.account.affords(share, urgent=True)]

    def _refresh(self, image: NDArray[np.uint8], frame: _Frame, share: float, why: str) -> Refresh:
        self.account.draw(share)
        self._started = True
        mirror = self._mirrors and self._refreshes % 2 == 1 and self._is_calm()
        track = Track(frame.gray, frame.stamp)
        self._pending = Refresh(
            image, share, frame.tasks, frame.focal, mirror, why, frame.stamp, track
        )
        return self._pending

    def _is_calm(self) -> bool:
        """Return whether all that is known only moved with the camera."""
        if self._known is None:
            return False
        return float((self._newest_signs().residual > CHANGED).mean()) < CALM

    def _shares(self, frame: _Frame) -> tuple[float, ...]:
        """Return the shares of the MACs to choose from."""
        network = self.engine.model.network
        return network.rung_fractions(self._input_size(frame), frame.tasks) or FREE_BUDGETS

    def _input_size(self, frame: _Frame) -> Size:
        model = self.engine.model
        return network_size(*frame.size, model.input_size, model.network.arch.stride)

    # What is known

    def _newest_signs(self) -> Signs:
        """Return the signs of what is known at the newest frame."""
        known, frame = self._known, self._frame
        assert known
        assert frame
        if self._signs is None or self._signs[0] is not known.track:
            self._signs = known.track, known.track.signs(frame.gray, frame.stamp)
        return self._signs[1]

    def _variances(self, tasks: tuple[str, ...]) -> dict[str, Floats]:
        """Return the variance of each pixel of the newest frame, by task."""
        known, frame = self._known, self._frame
        assert known
        assert frame
        planes = np.stack([known.variances[name] for name in tasks])
        if known.track.moved:
            planes = warp(planes, resize_places(known.track.places, known.size))
        if known.track.stamp != frame.stamp:
            signs = self._newest_signs().resized(known.size)
            planes = planes + np.stack([self._drift(name).growth(signs) for name in tasks])
        return dict(zip(tasks, planes, strict=True))

    def _at_newest(self, size: Size, tasks: tuple[str, ...]) -> _Known:
        """Return the known answer of some tasks, warped to the newest frame, at a size."""
        known = self._known
        assert known
        maps, variances = {name: known.maps[name] for name in tasks}, self._variances(tasks)
        if known.track.moved:
            places = resize_places(known.track.places, known.size)
            maps = {name: warp(planes, places) for name, planes in maps.items()}
        if known.size != size:
            maps = {name: _resize(planes, size) for name, planes in maps.items()}
            variances = {name: _resize(plane[None], size)[0] for name, plane in variances.items()}
        return replace(known, maps=maps, variances=variances)

    def _new_maps(self, refresh: Refresh, raw: RawInference) -> tuple[dict[str, Floats], Size]:
        """Return the maps of an answer as they are fused, at the frame of the refresh."""
        tasks = self.engine.model.network.tasks
        maps = {}
        for name, planes in raw.maps.items():
            seen = mirrored(tasks[name], planes) if refresh.mirror else planes
            maps[name] = to_fusable(tasks[name], seen)
        size = _size(maps)
        if self._known and self._known.size > size:
            size = self._known.size
            maps = {name: _resize(planes, size) for name, planes in maps.items()}
        return maps, size

    def _fused(
        self, refresh: Refresh, share: float, new: dict[str, Floats], known: _Known | None
    ) -> _Known:
        """Return what is known of the newest frame after a refresh."""
        frame, size = self._frame, _size(new)
        assert frame
        variances = {name: np.full(size, rung_variance(share), np.float32) for name in new}
        if refresh.stamp != frame.stamp:  # the answer is that of an older frame
            places = resize_places(refresh.track.places, size)
            signs = refresh.track.signs(frame.gray, frame.stamp).resized(size)
            new = {name: warp(planes, places) for name, planes in new.items()}
            variances = {n: plane + self._drift(n).growth(signs) for n, plane in variances.items()}
        if known is not None:
            weights = {n: self._weight(known.variances[n], variances[n]) for n in new}
            new = fuse(known.maps, new, weights)
            variances = {name: weights[name] * plane for name, plane in variances.items()}
        variances = {n: np.maximum(plane, LEAST_VARIANCE) for n, plane in variances.items()}
        return _Known(new, variances, Track(frame.gray, frame.stamp), refresh.stamp)

    def _drift(self, task: str) -> Drift:
        return self.settings.drifts.get(task, Drift())

    def _weight(self, known: Floats, new: Floats) -> Floats:
        constant = self.settings.constant_weight
        return weight(known, new) if constant is None else np.full_like(known, constant)

    # Answers

    def _unknown(self, tasks: tuple[str, ...]) -> dict[str, Floats]:
        table = self.engine.model.network.tasks
        return {name: np.full((table[name].channels, 2, 2), np.nan, np.float32) for name in tasks}

    def _inference(
        self,
        frame: _Frame,
        results: dict[str, NDArray[np.generic]],
        errors: dict[str, float],
        postprocess_ms: float,
    ) -> StreamInference:
        refresh, raw = self._done or (None, None)
        stamp = self._known.stamp if self._known else math.nan
        taken = refresh is not None and refresh.stamp == stamp  # else it came after a cut
        action: Action = 'refreshed' if taken else 'reused' if self._known else 'unknown'
        return StreamInference(
            results=results,
            cost=raw.cost if raw else self._no_cost(frame),
            plan=raw.plan if raw else uniform_plan(self.engine.model.network.arch.depths, OFF),
            input_size=self._input_size(frame),
            preprocess_ms=raw.preprocess_ms if raw else 0.0,
            infer_ms=raw.infer_ms if raw else 0.0,
            postprocess_ms=postprocess_ms,
            engine=raw.engine if raw else self.engine.backend.name,
            precision=raw.precision if raw else self.engine.backend.precision,
            action=action,
            reason=refresh.reason if refresh and taken else '' if self._known else self._why,
            refreshed=stamp,
            age=frame.stamp - stamp,
            expected_error=errors,
            flow_ms=self._times['flow'],
            warp_ms=self._times['warp'],
            balance=self.account.balance,
            spent=self.account.share,
        )

    def _no_cost(self, frame: _Frame) -> Cost:
        """Return the cost of a frame on which the network did not run."""
        network = self.engine.model.network
        costs = network.budget_model(self._input_size(frame), frame.tasks)
        return Cost(0, costs.full, 0, sum(network.arch.depths), 0, costs.windows, floor=False)


def _break(last: _Frame, frame: _Frame) -> str:
    """Return why nothing of the frame before can be true of a frame; empty if it can."""
    elapsed = frame.stamp - last.stamp
    if elapsed <= 0:
        return 'the stamp is not after the one before'
    if elapsed > LONGEST_GAP_S:
        return f'no frame for {elapsed:.1f} s'
    if frame.size != last.size:
        return 'another image size'
    if frame.focal != last.focal:
        return 'another focal length'
    if abs(float(frame.gray.mean()) - float(last.gray.mean())) > BRIGHTNESS_JUMP:
        return 'the brightness jumped'
    return ''


def _resize(planes: Floats, size: Size) -> Floats:
    """Return planes (channels, h, w) at another height and width."""
    resized = [cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes]
    return np.stack(resized)


def _size(maps: Mapping[str, Floats]) -> Size:
    height, width = next(iter(maps.values())).shape[-2:]
    return height, width
