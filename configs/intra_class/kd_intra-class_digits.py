# KD on digits, after intra-class_teacher_digits.py, whose files are read as they are.
#   python tools/train.py configs/intra_class/kd_intra-class_digits.py
_base_ = '../digits/digits_student.py'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='work_dirs/intra-class_teacher_digits/intra-class_teacher_digits.py',
        checkpoint='work_dirs/intra-class_teacher_digits/epoch_40.pth',
    ),
    terms=dict(
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=4.0, loss_weight=1.0),
        )
    ),
)
