"""What ``python -m mmvitkd test`` does."""

import argparse
import io
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

import mmengine
from mmengine.config import Config
from mmengine.evaluator import DumpResults

from mmvitkd.evaluation import PredictedLabels
from mmvitkd.utils import cli
from mmvitkd.utils.cli import (
    check_checkpoint,
    complete_dataloader,
    load_config,
)
from mmvitkd.utils.console import brief_console
from mmvitkd.utils.hooks import complete_hooks
from mmvitkd.utils.needs import check_data

from . import downstream_testing
from .downstream_checks import bfloat16_in_words
from .downstream_testing import FRAMEWORKS, PICKLES, writes_predictions
from .slow_bfloat16 import slow_bfloat16

LABELS = '.npy'  # of a classifier's predictions, their labels alone


def test(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint: of a classifier, or of mmdet, mmseg or mmpose.

    Args:
        args: As the command reads them.
    """
    cfg = load_config(args)
    apply_args(cfg, args)
    # the runner dumps it into the work dir, where the training's has its own name
    name = f'test_{Path(args.config).name}'
    cfg = Config(cfg.to_dict(), cfg_text=cfg.text, filename=name)
    complete_hooks(cfg)
    check_data(cfg, 'test')
    cli.print_rank0(slow_bfloat16(args.amp))
    with brief_console():
        runner = cli.build_runner(cfg)
    check_checkpoint(runner, args.checkpoint, ignore='terms.')
    if writes_predictions(args) and cfg.get('default_scope') not in FRAMEWORKS:
        dump = PredictedLabels if args.out.endswith(LABELS) else DumpResults
        runner.test_evaluator.metrics.append(dump(args.out))
    _load_quietly(runner)
    with bfloat16_in_words(args.amp):
        metrics = runner.test()
    if args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    if args.metrics is not None:
        mmengine.dump(metrics, args.metrics)


def _load_quietly(runner: Any) -> None:
    """Let MMEngine not print what is known: that a distiller's terms are left out."""
    load = runner.load_or_resume

    def quiet() -> None:
        with redirect_stdout(io.StringIO()):
            load()

    runner.load_or_resume = quiet


def apply_args(cfg: Config, args: argparse.Namespace) -> None:
    """Change a config as the command line says.

    Raises:
        ValueError: If an option does not suit the config.
    """
    if cfg.get('test_dataloader') is None:
        raise ValueError(f"config '{args.config}' has no test_dataloader")
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if Path(args.checkpoint).is_dir():
        raise ValueError(
            f"'{args.checkpoint}' is a folder, which only DeepSpeed loads: export its "
            'student by tools/export_student.py with --config, and test that'
        )
    for key in ('runner_type', 'strategy'):  # of training; a student is small
        cfg.pop(key, None)
    leave_out_teacher(cfg)
    if args.amp:
        cfg.test_cfg = {**(cfg.get('test_cfg') or {}), 'fp16': True}
    if cfg.get('default_scope') in FRAMEWORKS:
        downstream_testing.adapt(cfg, args)
    else:
        _adapt_classifier(cfg, args)
    complete_dataloader(cfg, 'test_dataloader', not args.no_pin_memory, persist=False)


def _adapt_classifier(cfg: Config, args: argparse.Namespace) -> None:
    if writes_predictions(args) and not args.out.endswith((*PICKLES, LABELS)):
        raise ValueError(
            f"--out '{args.out}': predictions are written to a .pkl file, or their "
            'labels alone to a .npy file'
        )
    if args.show or args.show_dir is not None:
        drawing = {
            'type': 'VisualizationHook',
            'enable': True,
            'show': args.show,
            'wait_time': args.wait_time,
            'out_dir': args.show_dir,
            'interval': args.interval,
        }
        cfg.default_hooks = {**cfg.get('default_hooks', {}), 'visualization': drawing}
    if args.tta:
        augment_test(cfg)


def leave_out_teacher(cfg: Config) -> None:
    """Build only a distiller's student; predicting needs no more."""
    if 'student' in cfg.model:
        for key in ('teacher', 'teachers', 'terms'):
            cfg.model.pop(key, None)


def augment_test(cfg: Config) -> None:
    """Let the model answer on several views of an image and merge the answers."""
    pipeline = cfg.test_dataloader.dataset.pipeline
    flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (1.0, 0.0)]
    views = {'type': 'TestTimeAug', 'transforms': [flips, [pipeline[-1]]]}
    merge = cfg.get('tta_model', {'type': 'mmpretrain.AverageClsScoreTTA'})
    cfg.test_dataloader.dataset.pipeline = cfg.get(
        'tta_pipeline', [*deepcopy(pipeline[:-1]), views]
    )
    cfg.model = {**merge, 'module': cfg.model}
