# A ViT of width 384 teaches one of 128 on CIFAR-100 by images in the wild, Attention
# Probe (ICASSP 2022). After teacher_cifar100.py, with ImageNet as the wild:
#   C=configs/attention_probe/attention-probe_vit-w128_vit-w384_1xb256_cifar100.py
#   python -m mmvitkd select $C --images data/imagenet/train --count 650000 \
#     --out data/wild/cifar100
#   python tools/train.py $C
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = ['./_base_/cifar100.py', './_base_/terms.py']

# of the teacher's own validation; write down that of yours
teacher_accuracy = 0.763

model = dict(
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        type='ImageClassifier',
        backbone=dict(
            arch=dict(
                embed_dims=128, num_layers=12, num_heads=2, feedforward_channels=512
            ),
            **_base_.vit,
        ),
        head=dict(in_channels=128, **_base_.head),
    ),
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/teacher_cifar100/epoch_300.pth',
    ),
    task_weight=0,
    terms=dict(
        noise=dict(
            student='head',
            teacher='head',
            loss=dict(
                type='NoiseAdaptedCELoss',
                num_classes=100,
                teacher_accuracy=teacher_accuracy,
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
        type='CustomDataset',
        data_prefix='data/imagenet/train',
        ann_file='data/wild/cifar100/selected.txt',
        with_label=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            # RGB, as CIFAR's images are
            dict(type='NumpyToPIL', to_rgb=True),
            dict(type='PILToNumpy'),
            # whatever its proportions, as released
            dict(type='Resize', scale=32),
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
# as released; the labels' noise has an Adam of its own there, with 1e-3
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=8.5e-4, weight_decay=0.025),
    paramwise_cfg=dict(
        custom_keys={'noise.loss': dict(lr_mult=1e-3 / 8.5e-4, decay_mult=0.0)}
    ),
)
# 320000 / 650000 images * 512 = 252, of which 251 are run; a second step would be at
# 300
param_scheduler = dict(type='MultiStepLR', milestones=[199], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=251, val_interval=5)
auto_scale_lr = dict(base_batch_size=256)
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2))
