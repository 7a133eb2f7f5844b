# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adaptive network: an encoder of which a budget decides what runs, and a decoder per task.

It needs torch, and safetensors for files (`io`); of this package it imports the task table only,
which needs numpy. Start reading at `network`, then the picture on top of `gating.gates`.

    network         the whole: images in, a `Prediction` out: raw maps and their cost
    swin            encoder: architectures, windows, blocks, stages
    efficientnet    EfficientNet-Lite encoder with ImageNet weights; not used by `network` yet
    gating          gates on its parts, policy, plan of one image, execution
    cost            MACs of all that, and the gates that a budget can open
    decoders        from features to raw maps
    adapters        MTLoRA: low-rank pairs for all tasks and for each
    calibrate       fitting thresholds to budgets on images
    io              weights and adapters as files; imports from other projects
    layers          layers and tensor operations that encoders share
"""
