# The teacher: the student's six layers, twice as wide, as DeiT-Small's are to
# DeiT-Tiny's. It is not named `model`, so that a distillation config can take it beside
# the student.
teacher_model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=64, num_layers=6, num_heads=4, feedforward_channels=256),
        img_size=32,
        patch_size=8,
        in_channels=1,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=64,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.1),
        loss=dict(type='CrossEntropyLoss'),
    ),
)
