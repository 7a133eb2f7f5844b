# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fixtures with a real node and a client on real DDS, in a domain of their own."""

import contextlib
import os
import threading
import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future

from adamtl_ros.ros.node import PerceptionNode

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
TIMEOUT_S = 60.0


class Graph:
    """A perception node and a client node, spun by one thread each."""

    def __init__(self, domain_id):
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.client = rclpy.create_node('client', context=self.context)
        self.changed = threading.Condition()
        self.nodes, self.executors, self.threads, self.stops = [], [], [], []
        self._spin(self.client)

    def perception(self, *, activate=True, namespace='', remaps=(), **parameters):
        """Make a node; parameters by name, with `__` for a dot, and remaps as 'from:=to'.

        Its engine is torch unless a parameter says otherwise, since a choice takes seconds; None
        leaves a parameter to its default.
        """
        parameters = {'engine': 'torch', 'precision': 'float32', **parameters}
        parameters = {name: value for name, value in parameters.items() if value is not None}
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = PerceptionNode(
            context=self.context,
            namespace=namespace,
            parameter_overrides=overrides,
            cli_args=['--ros-args', *(part for remap in remaps for part in ('-r', remap))],
        )
        self._spin(node)
        if activate:
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        return node

    def listen(self, kind, topic, qos=10):
        """Subscribe and return the list of messages, which grows."""
        received = []

        def receive(message):
            with self.changed:
                received.append(message)
                self.changed.notify_all()

        self.client.create_subscription(kind, topic, receive, qos)
        return received

    def until(self, condition, timeout=TIMEOUT_S):
        """Wait until a condition on received messages or on the graph holds."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0, 'timed out'
                # The graph changes without a message, so look now and then as well.
                self.changed.wait(min(left, 0.05))

    def close(self):
        """Destroy the nodes and end the threads."""
        # First stop all spinning: a node must not go while its executor waits on it.
        # (Executor.shutdown() from here would take nodes and guards from a thread that is about
        # to wait on them, which then waits for ever.)
        for stop in self.stops:
            stop.set_result(None)
        for thread in self.threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
        for executor in self.executors:
            executor.shutdown()
        for node in (*self.nodes, self.client):
            node.destroy_node()
        self.context.try_shutdown()

    def _spin(self, node):
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(node)
        self.executors.append(executor)
        stop = Future(executor=executor)
        self.stops.append(stop)
        if node is not self.client:
            self.nodes.append(node)

        def run():
            # Transitions come from the test's thread, and rclpy does not expect that what it is
            # about to wait on is destroyed by another one.
            while self.context.ok() and not stop.done():
                with contextlib.suppress(ExternalShutdownException, InvalidHandle):
                    executor.spin_until_future_complete(stop)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)


@pytest.fixture
def graph(worker_domain):
    """Make a graph in a domain of its own."""
    graph = Graph(next(worker_domain))
    yield graph
    graph.close()
