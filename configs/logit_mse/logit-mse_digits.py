# The teacher's logits, without labels, on digits, after digits_teacher.py.
#   python tools/train.py configs/logit_mse/logit-mse_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        mse=dict(
            student='head',
            teacher='head',
            loss=dict(type='LogitMSELoss', reduction='mean', loss_weight=1.0),
        ),
    ),
)
