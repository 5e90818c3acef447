# The Fashion-MNIST scenes in COCO's format, as
# `python -m mmvitkd draw-scenes --dataset fashion-mnist` writes them.
data_root = 'data/fashion-mnist-scenes/coco/'
metainfo = dict(
    classes=(
        *('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat'),
        *('Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'),
    )
)

# scenes have one size; images are flipped in the student's training as well
load_grey = dict(type='LoadImageFromFile', color_type='grayscale')
load_annotations = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
train_pipeline = [
    load_grey,
    load_annotations,
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    load_grey,
    # as they are; the heads ask by what factor images were resized
    dict(type='Resize', scale_factor=1.0),
    load_annotations,
    dict(type='PackDetInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
