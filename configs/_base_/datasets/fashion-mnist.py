# Fashion-MNIST, one channel of 28x28 pixels, enlarged to 32x32: 50,000 images to train,
# 10,000 held out to validate, 10,000 to test. How to get it:
# configs/fashion_mnist/README.md.
data_root = None  # data/fashion_mnist, or else where Debian's package puts it
num_val = 10000
data_preprocessor = dict(
    num_classes=10,
    # of the 50,000
    mean=[72.86],
    std=[89.97],
    to_rgb=False,
)

train_pipeline = [
    dict(type='Resize', scale=32),
    dict(type='RandomCrop', crop_size=32, padding=2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]

dataset_type = 'mmvitkd.FashionMNIST'
train_dataloader = dict(
    batch_size=100,
    # the images are in memory: worker processes would cost more than they give
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type='mmvitkd.HeldOutSplit',
        num_val=num_val,
        split='train',
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
