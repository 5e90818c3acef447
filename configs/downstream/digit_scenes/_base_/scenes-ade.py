# The digit scenes in ADE20K's format, as `python -m mmvitkd draw-scenes` writes them.
dataset = dict(
    type='BaseSegDataset',
    data_root='data/digit-scenes/ade/',
    metainfo=dict(
        classes=('background', *'0123456789'),
        # tab10 of matplotlib
        palette=[
            *([0, 0, 0], [31, 119, 180], [255, 127, 14], [44, 160, 44]),
            *([214, 39, 40], [148, 103, 189], [140, 86, 75], [227, 119, 194]),
            *([127, 127, 127], [188, 189, 34], [23, 190, 207]),
        ],
    ),
    # 0 in the files is what nobody labelled, classes begin at 1
    reduce_zero_label=True,
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'
        ),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        data_prefix=dict(
            img_path='images/validation', seg_map_path='annotations/validation'
        ),
        pipeline=train_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
