_base_ = './vitkd_digits.py'

model = dict(
    terms=dict(
        nkd=dict(
            student='head',
            teacher='head',
            loss=dict(type='NKDLoss', temperature=1.0, gamma=1.5, loss_weight=1.0),
        )
    )
)
