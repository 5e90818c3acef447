from typing import Any

from .task import Task


class PoseEstimator(Task):
    """mmpose's pose estimators, whose images have the size of their training."""

    base = 'mmpose.models.pose_estimators.base.BasePoseEstimator'
    called = 'pose estimator'
    scope = 'mmpose'
    several_labels = True

    def check_data(self, model: Any, metainfo: dict[str, Any]) -> str | None:
        """Compare the data's key points with the head's outputs.

        There are as many, or a multiple: maps of offsets beside each heat map.
        """
        joints = metainfo.get('num_keypoints')
        maps = getattr(getattr(model, 'head', None), 'out_channels', None)
        if (
            not isinstance(joints, int)
            or not isinstance(maps, int)
            or not maps % joints
        ):
            return None
        raise ValueError(
            f'the data set has {joints} key points, and the head yields {maps}: set '
            f'out_channels={joints} there, or take data of its key points'
        )
