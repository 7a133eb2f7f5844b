# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl view`: a running node in the browser."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import add_server_options

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add = parser.add_argument
    add('node', nargs='?', default='/adamtl', help='full name of the node (/adamtl)')
    add('--camera', default='', help='name of the camera, of a node with several')
    add_server_options(parser)


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        ValueError: A file instead of a node, or an address that cannot be used.

    """
    from adamtl_ros.tasks import TASKS
    from adamtl_ros.view.node import NodeView, spun_node
    from adamtl_ros.view.scene import SceneEncoder
    from adamtl_ros.view.server import Hub, ViewServer

    if Path(options.node).exists():
        raise ValueError(
            f"{options.node} is no node but a file; 'adamtl run {options.node}' shows it"
        )
    name = f'/{options.node.lstrip("/")}'
    with spun_node('adamtl_view') as node:
        encoder = SceneEncoder(TASKS)
        view = NodeView(node, name, options.camera)
        server = ViewServer(Hub(encoder, view, name), options.host, options.port)
        view.show_in(server.hub, encoder)
        server.start()
        print(f'open {server.address} in a browser; Ctrl-C ends', flush=True)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
        finally:
            server.stop()
