# The student on digits, under the assistant of ta1_digits.py.
#   python tools/train.py configs/teacher_assistant/ta2_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    teacher=dict(
        _delete_=True,
        cfg=dict(
            _base_.model.student,
            backbone=dict(
                _base_.model.student.backbone,
                arch=dict(
                    embed_dims=64, num_layers=6, num_heads=2, feedforward_channels=256
                ),
            ),
            head=dict(_base_.model.student.head, in_channels=64),
        ),
        checkpoint='work_dirs/ta1_digits/epoch_200.pth',
        prefix='student.',
    ),
    task_weight=0.5,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
    ),
)
