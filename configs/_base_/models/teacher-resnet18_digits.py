# A convolutional teacher: ResNet-18 at half of its widths. Its stem turns 32x32 pixels
# into 8x8, the scans' own size. Named as the other teacher is.
teacher_model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=32, base_channels=32),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=256,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
