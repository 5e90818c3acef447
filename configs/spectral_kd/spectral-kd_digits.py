# SpectralKD on digits, after digits_teacher.py.
#   python tools/train.py configs/spectral_kd/spectral-kd_digits.py
_base_ = '../digits/vitkd_digits.py'

# both ends of six layers each
model = dict(
    task_weight=0.1,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.9),
        ),
        **{
            f'spectral{i}': dict(
                student=f'backbone.layers.{i}',
                teacher=f'backbone.layers.{i}',
                loss=dict(type='SpectralLoss', loss_weight=0.2 / 4),
            )
            for i in (0, 1, 4, 5)
        },
    ),
)
