"""Tune one arm of configs/digits on the validation split.

Every arm has the same number of tries, none of which knows another arm's results;
the test split is not looked at. Used as

    python tools/tune_digits.py alone
    python tools/tune_digits.py vitkd --teacher work_dirs/digits_teacher/epoch_40.pth

A second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from quickstart_lib.runs import ARMS, train

ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1)
BETAS = (1e-5, 1e-4, 1e-3, 1e-2)


def alone() -> list[dict[str, Any]]:
    """Learning rate, width of the shift and weight decay, for all three arms."""
    return [
        {
            'optim_wrapper.optimizer.lr': lr,
            'train_dataloader.dataset.pipeline.1.padding': shift,
            'optim_wrapper.optimizer.weight_decay': decay,
        }
        for lr, shift, decay in product((2e-3, 4e-3, 8e-3, 16e-3), (2, 4), (0.05, 0.3))
    ]


def vitkd() -> list[dict[str, Any]]:
    """The weights of the paper's equation 6."""
    return [
        {
            'model.terms.mimic0.loss.loss_weight': alpha,
            'model.terms.mimic1.loss.loss_weight': alpha,
            'model.terms.gen.loss.loss_weight': beta,
        }
        for alpha, beta in product(ALPHAS, BETAS)
    ]


def vitkd_nkd() -> list[dict[str, Any]]:
    """The same weights, each pair with one of six settings of NKD."""
    settings = list(product((0.5, 1.0, 2.0), (1.0, 2.0)))
    return [
        {
            **weights,
            'model.terms.nkd.loss.loss_weight': settings[i % 6][0],
            'model.terms.nkd.loss.temperature': settings[i % 6][1],
        }
        for i, weights in enumerate(vitkd())
    ]


TRIES = {'alone': alone, 'vitkd': vitkd, 'vitkd-nkd': vitkd_nkd}


def run_try(arm: str, seed: int, options: dict, teacher: str | None) -> float:
    """Return the validation accuracy of one try at one seed."""
    folder = Path('work_dirs/tune_digits') / arm
    log = folder / 'tries.jsonl'
    key = {'seed': seed, 'options': options}
    for line in log.read_text().splitlines() if log.exists() else []:
        done = json.loads(line)
        if {name: done[name] for name in key} == key:
            return done['val']
    cfg = Config.fromfile(ARMS[arm])
    cfg.merge_from_dict({**options, 'randomness.seed': seed})
    if arm != 'alone':
        cfg.model.teacher.checkpoint = teacher
    val = train(cfg, folder / 'last', test=False)['val']
    with log.open('a') as out:
        out.write(json.dumps({**key, 'val': val}) + '\n')
    return val


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('arm', choices=TRIES)
    parser.add_argument('--teacher', help='its checkpoint, for the distilled arms')
    # others than quickstart.py's
    parser.add_argument('--seeds', type=int, nargs='+', default=[100, 101])
    args = parser.parse_args()
    if args.arm != 'alone' and args.teacher is None:
        parser.error(f'{args.arm} needs --teacher')
    for options in TRIES[args.arm]():
        vals = [run_try(args.arm, s, options, args.teacher) for s in args.seeds]
        short = {key.removeprefix('model.terms.'): v for key, v in options.items()}
        print(f'{np.mean(vals):5.1f}  {np.round(vals, 1)}  {short}', flush=True)


if __name__ == '__main__':
    main()
