# The 8x8 scans of scikit-learn's digits, enlarged to 32x32.
dataset_type = 'mmvitkd.Digits'
data_preprocessor = dict(
    num_classes=10,
    # of the train split; the three channels are one grey scan
    mean=[77.66] * 3,
    std=[95.79] * 3,
    to_rgb=False,
)

train_pipeline = [
    dict(type='Resize', scale=32),
    # half a scan pixel in every direction
    dict(type='RandomCrop', crop_size=32, padding=2),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=50,
    # the images are in memory: worker processes would cost more than they give
    num_workers=0,
    persistent_workers=False,
    dataset=dict(type=dataset_type, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(type=dataset_type, split='val', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=1)

test_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(type=dataset_type, split='test', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
