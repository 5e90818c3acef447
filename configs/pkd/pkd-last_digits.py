# PKD-Last on digits, after digits_teacher.py.
#   python tools/train.py configs/pkd/pkd-last_digits.py
_base_ = '../digits/vitkd_digits.py'

# the later half of six layers but the last, at the weight that five have on ImageNet:
# 0.13 * 5 / 2
model = dict(
    task_weight=0.5,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
        **{
            f'pkd{i}': dict(
                student=dict(path=f'backbone.layers.{i}', tokens='cls'),
                teacher=dict(path=f'backbone.layers.{i}', tokens='cls'),
                neck=dict(type='LinearProjector'),
                loss=dict(type='NormalisedMSELoss', loss_weight=0.33),
            )
            for i in (3, 4)
        },
    ),
)
