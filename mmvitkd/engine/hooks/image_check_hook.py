from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvitkd.datasets.image_check import require_readable
from mmvitkd.registry import HOOKS


@HOOKS.register_module()
class ImageCheckHook(Hook):
    """Read every image of the training and the validation data before the first epoch.

    What can't be read would stop the training when its turn comes. The result is kept
    beside the data, so that later runs look at new files only.

    Args:
        max_pixels: A larger picture is refused, which would take 3 bytes of memory for
            each. Defaults to None: the data set's own bound, or 100 million.
        whole: Decode the files, or look at their beginnings only, which finds what is
            empty, missing or too large. Defaults to None: decode up to 200,000 new
            files.

    Raises:
        ValueError: Before training, if files can't be read; all are named. At
            construction, if ``max_pixels`` is below 1.
    """

    priority = 'ABOVE_NORMAL'  # before hooks that show the model some images

    def __init__(
        self, max_pixels: int | None = None, whole: bool | None = None
    ) -> None:
        if max_pixels is not None and max_pixels < 1:
            raise ValueError(f'max_pixels must be at least 1, got {max_pixels}')
        self.max_pixels = max_pixels
        self.whole = whole

    def before_train(self, runner: Runner) -> None:
        """Look at the files of both data sets."""
        sets = [runner.train_dataloader.dataset]
        if runner.val_loop is not None:
            sets.append(runner.val_dataloader.dataset)
        require_readable(sets, self.max_pixels, self.whole)
