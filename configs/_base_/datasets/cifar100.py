# CIFAR-100, RGB of 32x32 pixels: 45,000 images to train, 5,000 held out to validate,
# 10,000 to test. MMPretrain downloads it to `data_root`.
data_root = 'data/cifar100'
num_val = 5000
data_preprocessor = dict(
    num_classes=100,
    # of all 50,000 training images
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
    # they are RGB in memory
    to_rgb=False,
)

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

# all 50,000, for papers that validate on the test split
train_images = dict(
    type='CIFAR100', data_root=data_root, split='train', pipeline=train_pipeline
)
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    dataset=dict(
        type='mmvitkd.HeldOutSplit',
        num_val=num_val,
        split='train',
        dataset=train_images,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    dataset=dict(
        type='mmvitkd.HeldOutSplit',
        num_val=num_val,
        split='val',
        dataset=dict(
            type='CIFAR100', data_root=data_root, split='train', pipeline=test_pipeline
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = dict(
    batch_size=256,
    num_workers=2,
    dataset=dict(
        type='CIFAR100', data_root=data_root, split='test', pipeline=test_pipeline
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
