"""What testing a detector, a segmentor or a pose estimator needs of its own."""

import argparse
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvitkd.utils.types import name_of

from .downstream_checks import check_bfloat16, student_of

HOOKS = {
    'mmdet': 'DetVisualizationHook',
    'mmseg': 'SegVisualizationHook',
    'mmpose': 'PoseVisualizationHook',
}
FRAMEWORKS = tuple(HOOKS)
# the metrics that write predictions to a .pkl file
DUMPS = {'mmdet': 'DumpDetResults', 'mmseg': 'DumpResults', 'mmpose': 'DumpResults'}
PICKLES = ('.pkl', '.pickle')
# what mmdet's own tool takes where the config has none
DET_TTA = {
    'type': 'DetTTAModel',
    'tta_cfg': {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 100},
}
FLIP_KEYS = ('flip', 'flip_direction')
DET_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', *FLIP_KEYS)


def writes_predictions(args: argparse.Namespace) -> bool:
    """Whether ``--out`` is for predictions."""
    return args.out is not None and args.out_item != 'metrics'


def adapt(cfg: Config, args: argparse.Namespace) -> None:
    """Change a config of mmdet, mmseg or mmpose as the command line says.

    Raises:
        ValueError: If an option does not suit the framework, or the model.
    """
    scope = cfg.default_scope
    if args.amp and scope == 'mmdet':
        check_bfloat16(cfg)
    if writes_predictions(args):
        keep_predictions(cfg, args.out, scope)
    if args.show or args.show_dir is not None:
        draw(cfg, args, scope)
    if args.tta:
        augment_test(cfg, scope)


def keep_predictions(cfg: Config, out: str, scope: str) -> None:
    """Let the predictions be written: by a metric that dumps, or by mmseg's own."""
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, list) else [evaluators]
    if out.endswith(PICKLES):
        evaluators.append({'type': DUMPS[scope], 'out_file_path': out})
    elif scope != 'mmseg':
        raise ValueError(
            f"--out '{out}': predictions are written to a .pkl file; the metrics go to "
            '--metrics'
        )
    elif Path(out).is_file():
        raise ValueError(
            f"--out '{out}' is a file: a segmentor's label maps need a folder"
        )
    else:
        for evaluator in evaluators:
            evaluator['output_dir'] = out
    cfg.test_evaluator = evaluators


def draw(cfg: Config, args: argparse.Namespace, scope: str) -> None:
    """Let the predictions be shown, or drawn into a folder."""
    if args.interval != 1:
        raise ValueError(f'--interval {args.interval}: {scope} draws every image')
    hooks = cfg.get('default_hooks', {})
    hook = dict(hooks.get('visualization') or {'type': HOOKS[scope]})
    hook.update(show=args.show, wait_time=args.wait_time)
    hook['enable' if scope == 'mmpose' else 'draw'] = True
    if args.show_dir is not None:
        # the hooks put a relative path below their own, once more for every batch
        folder = os.path.abspath(args.show_dir)
        if scope == 'mmseg':
            cfg.visualizer.save_dir = folder
        else:
            hook['test_out_dir' if scope == 'mmdet' else 'out_dir'] = folder
    cfg.default_hooks = {**hooks, 'visualization': hook}


def augment_test(cfg: Config, scope: str) -> None:
    """Let the model predict on several views of an image and merge the predictions.

    Raises:
        ValueError: If the framework has no such merging: of masks, or of poses.
    """
    if scope == 'mmpose':
        raise ValueError(
            '--tta: a pose estimator flips its images by itself, where '
            'model.test_cfg.flip_test=True'
        )
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    if scope == 'mmdet':
        _, model = student_of(cfg)
        parts = (model, model.get('roi_head') or {})
        if any(part.get('mask_head') for part in parts):
            raise ValueError(
                '--tta: mmdet merges boxes, not masks, and this model predicts both'
            )
        merge, views = DET_TTA, det_views(dataset.pipeline)
    else:
        merge, views = {'type': 'SegTTAModel'}, seg_views(dataset.pipeline)
    dataset.pipeline = cfg.get('tta_pipeline', views)
    cfg.model = {**cfg.get('tta_model', merge), 'module': cfg.model}


def det_views(pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mirror images at the end of a detector's test pipeline."""
    pack = {'type': 'PackDetInputs', 'meta_keys': DET_KEYS}
    return [*deepcopy(pipeline[:-1]), _mirrored([pack])]


def seg_views(pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mirror images before a segmentor's labels are read, which stay as they are."""
    types = [name_of(transform['type']) for transform in pipeline]
    if 'LoadAnnotations' in types:
        at = types.index('LoadAnnotations')
    else:
        at = len(types) - 1
    return [*deepcopy(pipeline[:at]), _mirrored(*([one] for one in pipeline[at:]))]


def _mirrored(*after: list[dict[str, Any]]) -> dict[str, Any]:
    flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (1.0, 0.0)]
    return {'type': 'TestTimeAug', 'transforms': [flips, *after]}
