# The student: a ViT of six layers on grey 32x32 images in patches of 8, so 4x4 tokens.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=32, num_layers=6, num_heads=2, feedforward_channels=128),
        img_size=32,
        patch_size=8,
        in_channels=1,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=32,
        # zeros, the default, cost the first steps of a short training
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.1),
        loss=dict(type='CrossEntropyLoss'),
    ),
)
