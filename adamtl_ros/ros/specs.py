# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What each parameter of the node means, and its range."""

from __future__ import annotations

from dataclasses import dataclass

CHOICES = {'image_transport': ('raw', 'compressed'), 'output_size': ('input', 'network')}


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        name: Its name.
        description: One sentence for `ros2 param describe` and the README.
        low: Smallest value of a number.
        high: Largest value of a number.
        live: Can change at run time.

    """

    name: str
    description: str
    low: float | None = None
    high: float | None = None
    live: bool = False


STRUCTURE = (
    Spec('autostart', 'Configure and activate the node when it starts.'),
    Spec('model', 'Weights: scenes_nano (shipped), or the path of a .safetensors file.'),
    Spec('adapter', 'Path of an adapter file for this model; empty: none.', live=True),
    Spec('device', "Torch device such as cpu or cuda:0, or 'auto': the GPU if there is one."),
    Spec('threads', 'CPU threads of the network; 0 leaves one core to the robot.', 0, 1024),
    Spec('cameras', 'Names before the topics of several cameras; one empty name: only one.'),
    Spec('image_transport', 'Input is a raw or a compressed image.'),
    Spec('output_size', 'Results have the size of the input image or of the network input.'),
    Spec('budget', 'Share of the full MACs that frames may cost on average.', 0.01, 1.0, live=True),
    Spec('tasks', 'Tasks that may run; each runs only while somebody subscribes.', live=True),
    Spec('max_rate_hz', 'Most frames per second to process; 0: no limit.', 0.0, 1000.0, live=True),
    Spec('deadline_ms', 'Latency that frames may have; 0: any.', 0.0, 60000.0, live=True),
)  # fmt: skip


def _live(name: str, description: str, low: float | None = None, high: float | None = None) -> Spec:
    return Spec(name, description, low, high, live=True)


GOVERNOR = (
    _live('governor.floor', 'Least budget, whatever the limiters want.', 0.01, 1.0),
    _live('governor.fall_per_s', 'Fastest fall of the limit [1/s].', 0.01, 1000.0),
    _live('governor.rise_per_s', 'Fastest rise of the limit [1/s].', 0.001, 1000.0),
    _live('governor.deadband', 'A rise of the limit smaller than this waits.', 0.0, 0.5),
    _live('battery.enabled', 'The charge of the battery limits the budget.'),
    _live('battery.high', 'Charge above which it does not, 0..1.', 0.0, 1.0),
    _live('battery.low', 'Charge at which the budget is down to battery.floor_budget.', 0.0, 1.0),
    _live('battery.floor_budget', 'Budget at battery.low and below.', 0.01, 1.0),
    _live('battery.full_scale', 'What the driver sends for a full battery, 1 or 100.', 1.0, 100.0),
    _live('battery.timeout_s', 'A battery state this old counts no longer [s].', 0.1, 86400.0),
    _live('battery.hysteresis', 'Rise of the charge that is taken for noise.', 0.0, 0.5),
    _live('thermal.enabled', 'Heat limits the budget.'),
    _live('thermal.zone', "Thermal zone of Linux by name, or 'hottest'; empty: none."),
    _live('thermal.diagnostics', 'Listen to jetson_stats temperatures on /diagnostics.'),
    _live('thermal.target_c', 'Temperature that is held [degrees Celsius].', -50.0, 150.0),
    _live('thermal.max_c', 'Temperature at which the budget drops to its floor.', -50.0, 150.0),
    _live('thermal.floor_budget', 'Least budget that heat asks for.', 0.01, 1.0),
    _live('thermal.gain', 'Budget taken for each degree near the target and above it.', 0.0, 1.0),
    _live('thermal.band_c', 'So far below the target thermal.gain begins to act.', 0.0, 50.0),
    _live('thermal.integral', 'Budget taken for each second and degree too much.', 0.0, 1.0),
    _live('thermal.timeout_s', 'A temperature this old counts no longer [s].', 0.1, 86400.0),
    _live('thermal.hysteresis_c', 'So far below thermal.max_c it must cool again.', 0.0, 50.0),
    _live('thermal.margin_c', 'So far below a passive trip point is the target.', 0.0, 50.0),
    _live('deadline.floor_budget', 'Least budget that deadline_ms asks for.', 0.01, 1.0),
    _live('deadline.quantile', 'Share of the frames that are to meet deadline_ms.', 0.5, 1.0),
    _live('deadline.headroom', 'Share of deadline_ms that is kept free.', 0.0, 0.5),
    _live('deadline.window', 'Latest frames that count for deadline.quantile.', 5, 1000),
    _live('deadline.recovery', 'So many faster frames in a row: the load is gone.', 2, 1000),
)

SPECS = STRUCTURE + GOVERNOR
