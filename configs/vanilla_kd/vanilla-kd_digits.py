# KD with a long schedule on digits, after digits_teacher.py.
#   python tools/train.py configs/vanilla_kd/vanilla-kd_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
    )
)
# four times the other methods' 200, as 1,200 beside 300
train_cfg = dict(max_epochs=800)
