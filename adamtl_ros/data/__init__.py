# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labelled images for training and evaluation, from folders, bags and synthetic scenes.

Every data set is a `sample.Dataset` of `sample.Sample`; `batches` turns samples into tensors.
Imports `bags` and `scenes`, no ROS. Start with `image_folder` for the published data sets and
`labelled_bag` for recordings of a robot.
"""
