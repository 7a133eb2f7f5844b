# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Effective budget from the user's budget and from battery, temperature and latency.

Start with `governor.Governor`: it combines the limiters of `limiters/` to one `Decision` per
frame. `sensors` reads thermal zones and energy counters of Linux, `simulation` runs the same
governor against a simulated device. The package has no clock of its own and imports neither ROS
nor torch, only `adamtl_ros.config`.
"""

from adamtl_ros.governor.governor import Decision, Governor, GovernorSettings, Reason

__all__ = ['Decision', 'Governor', 'GovernorSettings', 'Reason']
