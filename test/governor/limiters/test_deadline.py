# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Budget that meets a deadline, on machines unknown to the limiter."""

import math

import numpy as np
import pytest

from adamtl_ros.governor.limiters import Input
from adamtl_ros.governor.limiters.deadline import DeadlineLimiter, DeadlineSettings, LatencyCurve


class Machine:
    """Machine that takes `load * (fixed + saved * budget)` ms for a frame, with noise."""

    def __init__(self, fixed=10.0, saved=40.0, noise=0.04, seed=0):
        self.fixed, self.saved, self.noise, self.load = fixed, saved, noise, 1.0
        self.random = np.random.default_rng(seed)

    def latency(self, budget):
        """Return the time of one frame."""
        noise = math.exp(self.random.normal(0, self.noise))
        return self.load * (self.fixed + self.saved * budget) * noise

    def run(self, limiter, frames):
        """Return budgets and latencies of frames under the limiter."""
        budgets, latencies = [], []
        for _ in range(frames):
            limit = limiter.limit().budget
            budget = 1.0 if math.isnan(limit) else limit
            latency = self.latency(budget)
            limiter.update(budget, latency)
            budgets.append(budget)
            latencies.append(latency)
        return np.array(budgets), np.array(latencies)


@pytest.mark.parametrize('fixed', [2.0, 10.0, 20.0])
@pytest.mark.parametrize('seed', range(3))
def test_a_deadline_is_met_with_the_largest_budget_that_does(fixed, seed):
    machine = Machine(fixed, 50 - fixed, seed=seed)
    limiter = DeadlineLimiter(DeadlineSettings(deadline_ms=30.0))
    budgets, latencies = machine.run(limiter, 230)
    assert (latencies[30:] <= 30).mean() >= 0.95
    ideal = (30 * 0.92 - fixed) / (50 - fixed)
    assert ideal - 0.2 < budgets[30:].mean() < ideal + 0.02


def test_a_change_of_load_is_followed_down_and_up_within_30_frames():
    machine = Machine()
    limiter = DeadlineLimiter(DeadlineSettings(deadline_ms=60.0))
    before, _ = machine.run(limiter, 40)
    machine.load = 2.0
    during, latencies = machine.run(limiter, 100)
    machine.load = 1.0
    after, _ = machine.run(limiter, 60)
    assert before[-1] == 1
    assert (latencies[30:] <= 60).mean() >= 0.95
    assert during[30:].std() < 0.05
    assert (after[30:] == 1).all()


def test_one_slow_frame_does_not_matter():
    machine = Machine(noise=0.01)
    limiter = DeadlineLimiter(DeadlineSettings(deadline_ms=60.0))
    machine.run(limiter, 30)
    limiter.update(1.0, 200.0)
    assert limiter.limit().budget == pytest.approx(1, abs=0.35)
    budgets, _ = machine.run(limiter, 25)
    assert budgets[-1] == 1


@pytest.mark.parametrize('seed', range(3))
def test_rare_slow_frames_lower_the_budget(seed):
    """More than one frame in twenty is slower than the second slowest of the last 20."""
    machine = Machine(noise=0.2, seed=seed)
    limiter = DeadlineLimiter(DeadlineSettings(deadline_ms=30.0, floor_budget=0.05))
    _, latencies = machine.run(limiter, 1000)
    assert (latencies[30:] <= 30).mean() >= 0.95


def test_late_frames_in_a_row_count_once():
    def limit(*latencies):
        limiter = DeadlineLimiter(DeadlineSettings(deadline_ms=40.0, window=1))
        for latency in latencies:
            limiter.update(1.0, latency)
        return limiter.limit().budget

    slow, quick = 50.0, 39.0
    never, in_a_row = limit(*[quick] * 5), limit(quick, slow, slow, slow, quick)
    apart = limit(slow, quick, slow, quick, quick)
    assert never > in_a_row > apart


def test_the_curve_is_learned_from_changes_of_the_budget():
    curve, machine = LatencyCurve(), Machine(25.0, 25.0, noise=0.02)
    for frame in range(200):
        budget = 0.4 if frame // 10 % 2 else 1.0
        curve.update(budget, machine.latency(budget))
    assert curve.fixed == pytest.approx(0.5, abs=0.08)
    assert curve.inverse(curve.relative(0.3)) == pytest.approx(0.3)


def test_a_change_of_load_does_not_change_the_curve():
    curve, machine = LatencyCurve(), Machine(10.0, 40.0, noise=0.02)
    for _ in range(50):
        curve.update(1.0, machine.latency(1.0))
    machine.load = 3.0
    for _ in range(5):
        curve.update(1.0, machine.latency(1.0))
    assert curve.fixed == pytest.approx(0.2, abs=0.05)


def test_an_impossible_deadline_gives_the_floor():
    limiter = DeadlineLimiter(DeadlineSettings(deadline_ms=1.0, floor_budget=0.3))
    budgets, _ = Machine().run(limiter, 40)
    assert budgets[-1] == pytest.approx(0.3)


def test_no_deadline_does_not_limit():
    limiter = DeadlineLimiter()
    limiter.update(1.0, 50.0)
    assert limiter.limit().input is Input.OFF
    assert math.isnan(limiter.limit().budget)


@pytest.mark.parametrize(
    ('budget', 'latency'),
    [(1.0, math.nan), (1.0, math.inf), (1.0, -3.0), (1.0, 0.0), (0.0, 9.0), (math.nan, 9.0)],
)
def test_invalid_latencies_are_ignored(budget, latency):
    limiter = DeadlineLimiter(DeadlineSettings(deadline_ms=30.0))
    limiter.update(budget, latency)
    assert limiter.limit().input is Input.ABSENT
    assert limiter.curve.fixed == pytest.approx(0.2)
