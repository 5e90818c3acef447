"""Evaluate a detector, a segmentor or a pose estimator by mmdet, mmseg or mmpose."""

import argparse
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import mmengine
from mmengine.config import Config

from mmvitkd.commands.options import add_shared_arguments
from mmvitkd.utils.cli import (
    build_runner,
    check_checkpoint,
    complete_dataloader,
    load_config,
    readable_errors,
)
from mmvitkd.utils.hooks import complete_hooks
from mmvitkd.utils.types import name_of

HOOKS = {
    'mmdet': 'DetVisualizationHook',
    'mmseg': 'SegVisualizationHook',
    'mmpose': 'PoseVisualizationHook',
}
# the metrics that write predictions to a .pkl file
DUMPS = {'mmdet': 'DumpDetResults', 'mmpose': 'DumpResults'}
# what mmdet's own tool takes where the config has none
DET_TTA = {
    'type': 'DetTTAModel',
    'tta_cfg': {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 100},
}
FLIP_KEYS = ('flip', 'flip_direction')
DET_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', *FLIP_KEYS)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='file or URL of the weights')
    parser.add_argument(
        '--work-dir',
        help='folder for the log and the metrics. '
        'Default: work_dirs/<name of the config>',
    )
    parser.add_argument(
        '--out',
        help="where to write the predictions: a segmentor's label maps into a folder, "
        'all others to a .pkl file',
    )
    parser.add_argument('--metrics', help='.json file to write the metrics to')
    parser.add_argument('--show-dir', help='folder to draw the predictions into')
    parser.add_argument(
        '--show', action='store_true', help='show the predictions in a window'
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that a window stays. Default: 2',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: by the config's tta_model and tta_pipeline, or "
        'merging the predictions of an image and its mirror image',
    )
    add_shared_arguments(parser)
    args = parser.parse_args()
    if args.metrics is not None and not args.metrics.endswith('.json'):
        parser.error(f'--metrics is a .json file, got {args.metrics}')
    return args


def apply_args(cfg: Config, args: argparse.Namespace) -> None:
    """Change a config as the command line says.

    Raises:
        ValueError: If it is of another framework, or an option does not suit it.
    """
    scope = cfg.get('default_scope')
    if scope not in HOOKS:
        raise ValueError(
            f"config '{args.config}' has default_scope={scope!r}, none of "
            f'{sorted(HOOKS)}: tools/test.py is for all others'
        )
    if cfg.get('test_dataloader') is None:
        raise ValueError(f"config '{args.config}' has no test_dataloader")
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.out is not None:
        keep_predictions(cfg, args.out, scope)
    if args.show or args.show_dir is not None:
        draw(cfg, args, scope)
    if args.tta:
        augment_test(cfg, scope)
    complete_dataloader(cfg, 'test_dataloader', not args.no_pin_memory, persist=False)


def keep_predictions(cfg: Config, out: str, scope: str) -> None:
    """Let the predictions be written: by a metric that dumps, or by mmseg's own."""
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, list) else [evaluators]
    if scope in DUMPS:
        if not out.endswith(('.pkl', '.pickle')):
            raise ValueError(
                f"--out '{out}': predictions are written to a .pkl file; the metrics "
                'go to --metrics'
            )
        evaluators.append({'type': DUMPS[scope], 'out_file_path': out})
    else:
        if Path(out).is_file():
            raise ValueError(
                f"--out '{out}' is a file: a segmentor's label maps need a folder"
            )
        for evaluator in evaluators:
            evaluator['output_dir'] = out
    cfg.test_evaluator = evaluators


def draw(cfg: Config, args: argparse.Namespace, scope: str) -> None:
    """Let the predictions be shown, or drawn into a folder."""
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
        parts = (cfg.model, cfg.model.get('roi_head') or {})
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


def main() -> None:
    args = parse_args()
    with readable_errors():
        cfg = load_config(args)
        apply_args(cfg, args)
        # the runner dumps it into the work dir, where the training's has its own name
        name = f'test_{Path(args.config).name}'
        cfg = Config(cfg.to_dict(), cfg_text=cfg.text, filename=name)
        complete_hooks(cfg)
        runner = build_runner(cfg)
        check_checkpoint(runner, args.checkpoint)
        metrics = runner.test()
        if args.metrics is not None:
            mmengine.dump(metrics, args.metrics)


if __name__ == '__main__':
    main()
