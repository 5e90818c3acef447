# The Fashion-MNIST scenes in ADE20K's format, as
# `python -m mmvitkd draw-scenes --dataset fashion-mnist` writes them.
dataset = dict(
    type='BaseSegDataset',
    data_root='data/fashion-mnist-scenes/ade/',
    metainfo=dict(
        classes=(
            'background',
            *('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat'),
            *('Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'),
        ),
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

# scenes have one size; images are flipped in the student's training as well
load_grey = dict(type='LoadImageFromFile', color_type='grayscale')
load_annotations = dict(type='LoadAnnotations', reduce_zero_label=True)

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'
        ),
        pipeline=[
            load_grey,
            load_annotations,
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        data_prefix=dict(
            img_path='images/validation', seg_map_path='annotations/validation'
        ),
        pipeline=[load_grey, load_annotations, dict(type='PackSegInputs')],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
