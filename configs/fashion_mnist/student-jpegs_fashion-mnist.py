# The student alone on JPEGs of 112x112 pixels, by DeiT's augmentations: for measuring
# what faster pipelines do to its accuracy (../comparison/fast-data.py).
#   python tools/train.py configs/fashion_mnist/student-jpegs_fashion-mnist.py
_base_ = [
    '../_base_/models/vit-w32_fashion-mnist.py',
    '../_base_/schedules/fashion-mnist.py',
    '../_base_/default_runtime.py',
]
data_root = None  # data/fashion_mnist, or else where Debian's package puts it
num_val = 10000
data_preprocessor = dict(
    num_classes=10, mean=[72.86] * 3, std=[89.97] * 3, to_rgb=False
)
model = dict(backbone=dict(in_channels=3))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=32, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[73] * 3, interpolation='bicubic'),
    ),
    dict(
        type='RandomErasing',
        erase_prob=0.25,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=[73] * 3,
        fill_std=[90] * 3,
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=32, backend='pillow', interpolation='bicubic'),
    dict(type='PackInputs'),
]
dataset_type = 'mmvitkd.FashionMNISTJPEGs'
train_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type='mmvitkd.HeldOutSplit',
        num_val=num_val,
        split='train',
        # with so many augmentations, 2,000 would not be learned in a short training
        num_labels=10000,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split='train',
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type='mmvitkd.HeldOutSplit',
        num_val=num_val,
        split='val',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split='train',
            pipeline=test_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=1)

test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type, data_root=data_root, split='test', pipeline=test_pipeline
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator

# 20 ep = 2000 iters * 100 images/iter / 10000 images/ep
train_cfg = dict(max_epochs=20, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=1))
