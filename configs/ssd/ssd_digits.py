# SSD on digits: the student of digits_student.py, which is run before this, teaches a
# new one of its kind.
#   python tools/train.py configs/ssd/ssd_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    teacher=dict(
        type='StochasticTeacher',
        cfg=dict(_delete_=True, **_base_.model.student),
        checkpoint='work_dirs/digits_student/epoch_200.pth',
        samples=20,
        keep=10,
        drop_rate=0.1,
        guide='backbone.ln1',
    ),
    task_weight=0.5,
    terms=dict(
        _delete_=True,
        features=dict(
            student='backbone.ln1',
            teacher='backbone.ln1',
            loss=dict(type='ViTKDMimicLoss', loss_weight=0.5, reduction='mean'),
        ),
    ),
)
