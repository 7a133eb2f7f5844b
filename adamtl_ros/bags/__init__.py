# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 bags and image messages, without ROS.

One reader for the node (`images`), for training (`data.LabelledBag`) and for evaluation
(`evaluation.bags`). Of this package it imports `tasks`, `sample` and `labels` only. Start with
`reader`, which finds a camera in a bag, then `images`, which decodes its messages, and
`ground_truth`, which finds the labels of a frame.
"""
