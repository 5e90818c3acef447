# VkD's terms for an ordinary ViT on digits, after digits_teacher.py.
#   python tools/train.py configs/vkd/vkd-plain_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
        vkd=dict(
            student=dict(path='backbone.ln1', tokens='cls'),
            teacher=dict(path='backbone.ln1', tokens='cls'),
            neck=dict(type='OrthogonalProjector'),
            loss=dict(type='SmoothL1Loss', loss_weight=1.0),
        ),
    )
)
