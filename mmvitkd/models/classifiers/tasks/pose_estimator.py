from .task import Task


class PoseEstimator(Task):
    """mmpose's pose estimators, whose images have the size of their training."""

    base = 'mmpose.models.pose_estimators.base.BasePoseEstimator'
    scope = 'mmpose'
    several_labels = True
