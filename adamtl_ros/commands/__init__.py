# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command line, `adamtl`: one module for each verb.

A verb's module has `add_options()`, which adds its options to a parser, and `run()`, which takes
the parsed options. `main.py` lists the verbs and turns exceptions into messages, `options.py` has
the options that several verbs share. A verb imports what it needs when it runs, so that `--help`
is quick and a missing optional dependency concerns its own verbs only.

Commands may import every other package except `ros`, and nothing imports them.
"""
