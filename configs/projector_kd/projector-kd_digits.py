# ProjectorKD on the last layer, on digits, after digits_teacher.py.
#   python tools/train.py configs/projector_kd/projector-kd_digits.py
_base_ = '../spectral_kd/spectral-kd_digits.py'

model = dict(
    terms=dict(
        _delete_=True,
        kd=_base_.model.terms.kd,
        projector5=dict(
            student='backbone.layers.5',
            teacher='backbone.layers.5',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ProjectorLoss', loss_weight=0.2),
        ),
    )
)
