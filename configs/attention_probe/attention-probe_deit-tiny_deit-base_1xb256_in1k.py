# DeiT-Base teaches DeiT-Tiny on ImageNet by images in the wild, Attention Probe (ICASSP
# 2022); the authors' are a million of Flickr's. Yours lie in data/wild/images:
#   C=configs/attention_probe/attention-probe_deit-tiny_deit-base_1xb256_in1k.py
#   python -m mmvitkd select $C --images data/wild/images --count 1000000 \
#     --out data/wild/in1k
#   python tools/train.py $C
# Nothing is known of it without labels: README.md says what the authors ran.
_base_ = ['../_base_/students/deit-tiny_in1k.py', './_base_/terms.py']

# the wild images; ImageNet, where `data_root` says, is for validation
wild_root = 'data/wild/images'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    # as released, no Mixup and CutMix
    student={**_base_.model, 'train_cfg': None},
    teacher=dict(
        cfg='mmpretrain::deit/deit-base_16xb64_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'deit/deit-base_3rdparty_pt-16xb64_in1k_20211124-6f40c188.pth',
    ),
    task_weight=0,
    terms=dict(
        noise=dict(
            student='head',
            teacher='head',
            loss=dict(
                type='NoiseAdaptedCELoss',
                num_classes=1000,
                teacher_accuracy=0.8179,
                loss_weight=1.0,
            ),
        ),
        **_base_.attention_probe_terms,
    ),
)

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_prefix=wild_root,
        ann_file='data/wild/in1k/selected.txt',
        with_label=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            # whatever its proportions, as released
            dict(type='Resize', scale=_base_.image_size),
            dict(type='RandomCrop', crop_size=_base_.image_size, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ],
    ),
)
# as released; the labels' noise has an Adam of its own there, with 1e-3
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='AdamW', lr=7.5e-4, weight_decay=0.025),
    paramwise_cfg=dict(
        custom_keys={'noise.loss': dict(lr_mult=1e-3 / 7.5e-4, decay_mult=0.0)}
    ),
)
# 640000 / 1000000 images * 512 = 327, of which 326 are run
param_scheduler = dict(
    _delete_=True, type='MultiStepLR', milestones=[199, 299], gamma=0.1
)
train_cfg = dict(max_epochs=326)
auto_scale_lr = dict(base_batch_size=256)
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=3))
