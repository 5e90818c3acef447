# KD on digits, where the teacher sees half of the patches, after digits_teacher.py.
#   python tools/train.py configs/maskedkd/maskedkd_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    task_weight=0.5,
    teacher=dict(type='MaskedTeacher', keep_ratio=0.5),  # 8 of 16
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
    ),
)
