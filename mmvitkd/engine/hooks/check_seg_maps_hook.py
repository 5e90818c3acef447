import os
from typing import Any

from mmengine.fileio import list_dir_or_file
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvitkd.registry import HOOKS

SHOWN = 5  # paths in a message


@HOOKS.register_module()
class CheckSegMapsHook(Hook):
    """Refuse a segmentation data set in which files are missing, before it is used.

    mmseg's data sets look only for images: one without a segmentation map ends the
    run when its turn comes, in validation after hours, and a map without an image is
    passed over. The training set and the validation set are checked before training,
    the test set before testing.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training set, and the validation set if there is one."""
        check_seg_maps(runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            check_seg_maps(runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the test set."""
        check_seg_maps(runner.test_dataloader.dataset)


def check_seg_maps(dataset: Any) -> None:
    """Check that a data set of mmseg has a segmentation map for every image.

    Raises:
        FileNotFoundError: If an image or a map is missing, with the names.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    problems = []
    for key, suffix, what in (
        ('img_path', dataset.img_suffix, 'images'),
        ('seg_map_path', dataset.seg_map_suffix, 'segmentation maps'),
    ):
        wanted = {info[key] for info in infos}
        files = _list(dataset, key, suffix)
        problems += _missing(wanted - files, f'{what} are missing')
    if not dataset.ann_file:  # or else the folder may hold more than is used
        problems += _missing(files - wanted, f'{what} have no image')
    if problems:
        raise FileNotFoundError(f'{type(dataset).__name__}: ' + '; '.join(problems))


def _list(dataset: Any, key: str, suffix: str) -> set[str]:
    folder = dataset.data_prefix[key]
    files = list_dir_or_file(
        folder,
        list_dir=False,
        suffix=suffix,
        recursive=True,
        backend_args=dataset.backend_args,
    )
    return {os.path.join(folder, file) for file in files}


def _missing(paths: set[str], what: str) -> list[str]:
    more = f' and {len(paths) - SHOWN} more' if len(paths) > SHOWN else ''
    names = ', '.join(sorted(paths)[:SHOWN])
    return [f'{len(paths)} {what} ({names}{more})'] if paths else []
