# Lift's student alone, on digits: what Lift is compared with.
#   python tools/train.py configs/encoding_mismatch/lift-student_digits.py
_base_ = '../digits/digits_student.py'

model = dict(
    backbone=dict(out_type='featmap', final_norm=False),
    head=dict(
        _delete_=True,
        type='mmvitkd.LiftClsHead',
        num_classes=10,
        in_channels=32,
        lift_channels=128,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.1),
        loss=dict(type='CrossEntropyLoss'),
    ),
)
