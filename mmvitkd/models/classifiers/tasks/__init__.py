"""What a distiller asks of its models, a file for every kind of them."""

from typing import Any

from .any_model import AnyModel
from .classifier import Classifier
from .detector import Detector
from .pose_estimator import PoseEstimator
from .segmentor import Segmentor
from .task import Task

# the first that suits counts
TASKS = (Classifier(), Detector(), Segmentor(), PoseEstimator(), AnyModel())

__all__ = [
    'AnyModel',
    'Classifier',
    'Detector',
    'PoseEstimator',
    'Segmentor',
    'Task',
    'task_of',
]


def task_of(model: Any) -> Task:
    """Return the task of a model, or of a class of models."""
    kind = model if isinstance(model, type) else type(model)
    return next(task for task in TASKS if task.suits(kind))
