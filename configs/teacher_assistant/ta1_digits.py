# The assistant on digits, a ViT of width 64, after digits_teacher.py.
#   python -m mmvitkd train configs/teacher_assistant/ta1_digits.py \
#     configs/teacher_assistant/ta2_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    student=dict(
        backbone=dict(
            arch=dict(
                embed_dims=64, num_layers=6, num_heads=2, feedforward_channels=256
            )
        ),
        head=dict(in_channels=64),
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
