# The teacher: the student's six layers, four times as wide. It is not named
# `model`, so that a distillation config can take it beside the student.
teacher_model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=128, num_layers=6, num_heads=4, feedforward_channels=512),
        img_size=28,
        patch_size=4,
        in_channels=1,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=128,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.1),
        loss=dict(type='CrossEntropyLoss'),
    ),
)
