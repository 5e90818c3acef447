"""A small teacher whose weights are a file."""

from mmvitkd.models import Teacher
from mmvitkd.models.classifiers.tap import Tap
from tests.helpers import build, save_weights, vit

HEAD = Tap('head')


def preprocessor(**cfg):
    return build({'type': 'ClsDataPreprocessor', **cfg})


def teacher(tmp_path, cfg=None, **kwargs):
    cfg = cfg or vit()
    plain = {k: v for k, v in cfg.items() if k != 'data_preprocessor'}
    made = Teacher(cfg, checkpoint=save_weights(plain, tmp_path / 't.pth'), **kwargs)
    made.load()
    return made
