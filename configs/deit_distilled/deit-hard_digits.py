# DeiT's distillation token by hard labels on digits, after digits_teacher-resnet.py.
#   python tools/train.py configs/deit_distilled/deit-hard_digits.py
_base_ = [
    '../digits/digits_student.py',
    '../_base_/models/teacher-resnet18_digits.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        type='ImageClassifier',
        backbone={**_base_.model.backbone, 'type': 'DistilledVisionTransformer'},
        head={**_base_.model.head, 'type': 'ExtraTokenClsHead'},
    ),
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher-resnet/epoch_40.pth',
    ),
    task_weight=0.5,
    terms=dict(
        dist=dict(
            student='head.layers.head_dist',
            teacher='head',
            loss=dict(type='HardKDLoss', loss_weight=0.5),
        )
    ),
)
