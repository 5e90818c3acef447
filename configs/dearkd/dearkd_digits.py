# DearKD on digits, after digits_teacher-resnet.py.
#   python tools/train.py configs/dearkd/dearkd_digits.py
_base_ = [
    '../digits/digits_student.py',
    '../_base_/models/teacher-resnet18_digits.py',
    './_base_/dearkd.py',
]

# a third of the layers, as on ImageNet; the maps are 8x8 and 4x4, the tokens 4x4
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        type='ImageClassifier',
        backbone={
            **_base_.model.backbone,
            **_base_.dearkd_student.backbone,
            'conv_layers': 2,
        },
        head={**_base_.model.head, **_base_.dearkd_student.head},
    ),
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher-resnet/epoch_40.pth',
    ),
    task_weight=0.5,
    terms=dict(
        hard={**_base_.dearkd_terms.hard, 'teacher': 'head'},
        hidden0={
            **_base_.dearkd_terms.hidden1,
            'student': 'backbone.layers.0',
            'teacher': 'backbone.layer1',
        },
        hidden1={**_base_.dearkd_terms.hidden1, 'teacher': 'backbone.layer2'},
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.dearkd_keys))

# 200 ep * 250 / 300 = 167 ep
custom_hooks = [
    dict(
        type='mmvitkd.TermWeightHook',
        terms={
            name: dict(kind='stop', end=167) for name in ('hard', 'hidden0', 'hidden1')
        },
        task_weight=dict(kind='stop', end=167, factor_after=2),
    )
]
