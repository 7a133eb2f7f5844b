# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small engine, evaluation settings, and scoring without a worker process."""

from collections import deque

import numpy as np
import torch

from adamtl_ros.bags.reader import bag_name
from adamtl_ros.evaluation.bags.evaluate import ModelInfo, score_recording
from adamtl_ros.evaluation.bags.result import EvaluationSettings
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from helpers.bag_files import HEIGHT, WIDTH, image, plain, stamp, truth

torch.set_num_threads(1)  # a busy machine makes more of them much slower
ENGINE = Engine(load_model('pico'), 'cpu')
COUNT = 6
BUDGETS = (1.0, 0.7, 0.4)
DEPTH, EDGES = plain(2.5, np.float32), np.eye(HEIGHT, WIDTH, dtype=np.uint8)


def chosen(**others):
    return EvaluationSettings(**{'model': 'pico', 'budgets': BUDGETS, 'shown': 0.4, **others})


def true(numbers=range(COUNT)):
    """Return entries for `write()`: depth for all frames, edges for every second one."""
    deep = [(stamp(n), truth('depth'), image(stamp(n), DEPTH)) for n in numbers]
    thin = [(stamp(n), truth('edges'), image(stamp(n), EDGES)) for n in numbers if n % 2]
    return deep + thin


class EngineConnection:
    """Connection that runs the engine in this process, lazily at `recv()`.

    Attributes:
        most: Greatest number of images in flight.

    """

    def __init__(self, settings, tasks):
        self._budgets, self._tasks = settings.budgets, tasks
        self._images, self.most = deque(), 0

    def send(self, image):
        """Queue an image and its focal length."""
        self._images.append(image)
        self.most = max(self.most, len(self._images))

    def recv(self):
        """Return the inferences of the oldest image; the budgets take 1, 2, ... J."""
        image, focal = self._images.popleft()
        inferences = [ENGINE.run(image, budget, self._tasks, focal) for budget in self._budgets]
        return inferences, [1.0 + number for number in range(len(inferences))]


def score_with_engine(path, settings, connect=EngineConnection, name=''):
    """Return the result of a recording, and the connection that was used."""
    network = ENGINE.model.network
    tasks = {name: network.tasks[name] for name in settings.tasks or network.tasks}
    model = ModelInfo(name or bag_name(path), ENGINE.model.name, tasks, network.arch)
    connection = connect(settings, tasks)
    return score_recording(connection, path, model, settings), connection
