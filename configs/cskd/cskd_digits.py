# CSKD on digits, after cskd-teacher_digits.py.
#   python tools/train.py configs/cskd/cskd_digits.py
_base_ = [
    '../digits/digits_student.py',
    '../_base_/models/teacher-resnet18_digits.py',
    './_base_/cskd.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        type='ImageClassifier',
        backbone={**_base_.model.backbone, **_base_.cskd_student.backbone},
        head={**_base_.model.head, **_base_.cskd_student.head},
    ),
    teacher=dict(
        cfg={
            **_base_.teacher_model,
            'backbone': {**_base_.teacher_model.backbone, 'strides': (1, 2, 2, 1)},
        },
        checkpoint='work_dirs/cskd-teacher_digits/epoch_40.pth',
    ),
    task_weight=0.5,
    terms=dict(
        dist={**_base_.cskd_terms.dist, 'teacher': 'head'},
        dense={
            **_base_.cskd_terms.dense,
            'teacher': dict(path='backbone.layer4', through='head.fc'),
        },
    ),
)
custom_hooks = [
    dict(
        type='mmvitkd.TermWeightHook',
        settings={'dense.global_share': dict(kind='ramp', end=200)},
    )
]
