# A convolutional student: ResNet-18 at an eighth of its widths. Its stem turns 32x32
# pixels into 8x8. It is not named `model`, so that it can replace one.
cnn_student = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
