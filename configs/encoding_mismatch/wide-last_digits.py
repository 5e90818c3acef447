# WideLast on digits, after digits_teacher.py.
#   python tools/train.py configs/encoding_mismatch/wide-last_digits.py
_base_ = [
    './wide-last-student_digits.py',
    '../_base_/models/teacher-vit-w128_digits.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher/epoch_40.pth',
    ),
    task_weight=0.1,
    terms=dict(
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.9),
        ),
        mse=dict(
            student='backbone.layers.5',
            teacher='backbone.layers.5',
            loss=dict(type='ViTKDMimicLoss', reduction='mean', loss_weight=0.2),
        ),
    ),
)
