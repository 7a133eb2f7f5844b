# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Data sets of labelled images, and the way from samples to batches.

Every data set gives `Sample`s (`adamtl_ros.sample`): published ones in folders (`image_folder`,
`pascal_context`, `nyud`), bags (`labelled_bag`) and rendered scenes (`synthetic`). `transforms`
resizes, augments and joins them, `batches` collates them in a resumable order. Imports the ground,
`bags` and `scenes`. Start with `image_folder` to add a data set of one's own.
"""
