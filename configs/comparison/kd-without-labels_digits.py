# The student learns from the teacher's soft labels alone, and reads no label.
_base_ = '../digits/vitkd_digits.py'

model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
    ),
)
