# CIFAR-100, and Attention Probe's teacher for it, on 8x8 patches of 4x4 pixels.
_base_ = '../../_base_/default_runtime.py'

data_preprocessor = dict(
    num_classes=100,
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
    # they are RGB in memory
    to_rgb=False,
)
# the size is that of CIFAR's images already, not of those that `select` reads
test_pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    dataset=dict(
        type='CIFAR100',
        data_root='data/cifar100',
        split='test',
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))
val_cfg = dict()
test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict()

vit = dict(type='VisionTransformer', img_size=32, patch_size=4)
head = dict(
    type='VisionTransformerClsHead',
    num_classes=100,
    init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    loss=dict(type='CrossEntropyLoss'),
)
teacher_model = dict(
    type='ImageClassifier',
    backbone=dict(
        arch=dict(
            embed_dims=384, num_layers=12, num_heads=3, feedforward_channels=1536
        ),
        **vit,
    ),
    head=dict(in_channels=384, **head),
)
