# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adaptive network: an encoder of which a budget decides what runs, and a decoder per task.

It needs torch, and of this package the task table only. Start reading at `network`, then the
picture on top of `gating.gates`.

    network         the whole: images in, raw maps and their cost out; `prediction` has the records
    swin            encoder: architectures, windows, blocks, stages
    gating          gates on its parts, policy, plan of one image, execution
    cost            MACs of all that, and the gates that a budget can open
    decoders        from features to raw maps
    adapters        MTLoRA: low-rank pairs for all tasks and for each
    calibrate       fitting thresholds to budgets on images
    io              weights and adapters as files; imports from other projects
    layers          layers and tensor operations that encoders share
"""
