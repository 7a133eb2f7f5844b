# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 node: topics and parameters around the engine and the governor.

Start with `node.PerceptionNode`. A camera image enters at `camera_channel.CameraChannel`, waits in
a mailbox of `runtime.worker`, is processed by `processor.Processor` and leaves by
`topics.TaskTopics`; `reporter.Reporter` publishes statistics and diagnostics. `parameters` declares
the parameters, `governor_inputs` feeds the governor. This package imports `bags`, `governor`, `nn`,
`runtime` and `viz`; of the library only `demo` imports it.
"""
