import os

import pytest
import timm
import torch
from mmpretrain.models import build_backbone

from mmvitkd.engine.strategies.sharding import shard_teachers
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.utils.blocks import find_blocks
from tests.helpers import build, distiller, vit
from tests.test_tools.runs import in_processes

TAPS = [Tap('backbone.layers.0'), Tap('backbone.ln1'), Tap('head')]


def test_blocks_are_a_transformers():
    model = build(vit(layers=3))
    assert find_blocks(model) == list(model.backbone.layers)


def test_blocks_of_swin_are_not_its_stages():
    arch = {'embed_dims': 8, 'depths': [2, 1, 1, 1], 'num_heads': [2] * 4}
    swin = build_backbone({'type': 'SwinTransformer', 'arch': arch, 'img_size': 64})
    blocks = [block for stage in swin.stages for block in stage.blocks]
    assert find_blocks(swin) == blocks


def test_blocks_of_timm():
    model = timm.create_model('deit_tiny_patch16_224', img_size=32, depth=3)
    assert find_blocks(model) == list(model.blocks)
    swin = timm.create_model('swin_tiny_patch4_window7_224', img_size=64)
    blocks = [block for stage in swin.layers for block in stage.blocks]
    assert find_blocks(swin) == blocks


def ask_whole_and_sharded(folder) -> None:
    torch.distributed.init_process_group('gloo')
    model = build(distiller(folder))
    model.load_teachers()
    teacher = model.teachers['teacher']
    total = sum(p.numel() for p in teacher.model.parameters())
    images = torch.randn(2, 3, 32, 32)
    whole = teacher(images, model.data_preprocessor, TAPS)
    shard_teachers(model)
    for _ in range(2):
        answers = teacher(images, model.data_preprocessor, TAPS)
        for tap in TAPS:
            assert torch.equal(answers[tap].value, whole[tap].value)
        own = sum(p.to_local().numel() for p in teacher.model.parameters())
        # of an uneven tensor, the first process has a row more
        assert own < 0.55 * total
    assert not any(p.requires_grad for p in teacher.model.parameters())


def test_processes_hold_a_share_of_the_teacher_and_get_the_same_answers(tmp_path):
    in_processes(2, ask_whole_and_sharded, tmp_path)
    assert 'RANK' not in os.environ


def test_without_a_teacher_there_is_nothing_to_shard():
    with pytest.raises(ValueError, match='ImageClassifier has no teacher'):
        shard_teachers(build(vit()))


def test_a_compiled_teacher_is_not_sharded(tmp_path):
    cfg = distiller(tmp_path)
    cfg['teacher']['compile'] = True
    with pytest.raises(ValueError, match='compile=True'):
        shard_teachers(build(cfg))
