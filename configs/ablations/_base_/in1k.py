# What the tables' names stand for on ImageNet-1K: the paper's models, with the recipes
# of configs/vitkd. Teachers have their published weights.
_base_ = './common.py'

# that the recipes' learning rates belong to, with 128 images each
gpus = 8
# a run's last epoch counts, as in the paper
options = {
    'default_hooks.checkpoint.max_keep_ckpts': 3,
    'test_evaluator': [
        dict(type='Accuracy', topk=(1, 5)),
        dict(type='mmvitkd.NegativeLogLikelihood'),
    ],
}

students = {
    'DeiT-T': dict(config='../../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'),
    'DeiT-S': dict(config='../../vitkd/vitkd_deit-small_deit3-base_8xb128_in1k.py'),
    'DeiT-B': dict(config='../../vitkd/vitkd_deit-base_deit3-large_8xb128_in1k.py'),
    'Swin-T': dict(
        config='../../vitkd/vitkd_swin-tiny_swin-base_8xb128_in1k.py',
        taps=_base_.swin_taps,
    ),
}
teachers = {
    'DeiT-S': dict(config='../../vitkd/vitkd_deit-tiny_deit-small_8xb128_in1k.py'),
    'DeiT-B': dict(
        cfg='mmpretrain::deit/deit-base_16xb64_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'deit/deit-base_pt-16xb64_in1k_20220216-db63c16c.pth',
    ),
    'DeiT III-S': dict(config='../../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'),
    'DeiT III-B': dict(config='../../vitkd/vitkd_deit-small_deit3-base_8xb128_in1k.py'),
    'DeiT III-L': dict(config='../../vitkd/vitkd_deit-base_deit3-large_8xb128_in1k.py'),
    'Swin-B': dict(
        config='../../vitkd/vitkd_swin-tiny_swin-base_8xb128_in1k.py',
        taps=_base_.swin_taps,
    ),
    # ../plan3_contrastive-teachers.py; Mixup and CutMix off, as the contrast needs
    'DeiT-S, trained here': dict(
        train='../../_base_/students/deit-small_in1k.py',
        options={'train_dataloader.batch_size': 128, 'model.train_cfg': None},
    ),
    **{
        name: dict(
            train='../../intra_class/intra-class_deit-small_8xb128_in1k.py',
            options=contrast,
        )
        for name, contrast in _base_.contrasts.items()
    },
}
