# The student alone on JPEGs of 112x112 pixels, by DeiT's augmentations: for measuring
# what faster pipelines do to its accuracy (../comparison/fast-data.py).
#   python tools/train.py configs/fashion_mnist/student-jpegs_fashion-mnist.py
_base_ = './fashion-mnist_student.py'

# grey files are read as three channels
data_preprocessor = dict(mean=[72.86] * 3, std=[89.97] * 3)
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
_jpegs = 'mmvitkd.FashionMNISTJPEGs'
train_dataloader = dict(
    dataset=dict(
        # with so many augmentations, 2,000 would not be learned in a short training
        num_labels=10000,
        dataset=dict(type=_jpegs, pipeline=train_pipeline),
    )
)
val_dataloader = dict(dataset=dict(dataset=dict(type=_jpegs, pipeline=test_pipeline)))
test_dataloader = dict(dataset=dict(type=_jpegs, pipeline=test_pipeline))

# 20 ep = 2000 iters * 100 images/iter / 10000 images/ep
train_cfg = dict(max_epochs=20, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=10))
