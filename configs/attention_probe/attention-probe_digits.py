# Attention Probe on digits, after digits_teacher.py. The wild images are digits whose
# labels are not read.
#   python tools/train.py configs/attention_probe/attention-probe_digits.py
_base_ = '../digits/vitkd_digits.py'

# a third, two thirds and the whole of the depth, as on ImageNet
model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=4.0, loss_weight=1.0),
        ),
        noise=dict(
            student='head',
            teacher='head',
            loss=dict(
                type='NoiseAdaptedCELoss',
                num_classes=10,
                teacher_accuracy=0.97,
                loss_weight=1.0,
            ),
        ),
        **{
            f'probe{i}': dict(
                student=dict(path=f'backbone.layers.{i}', tokens='all'),
                teacher=dict(path=f'backbone.layers.{i}', tokens='all'),
                loss=dict(type='ProbeLoss', loss_weight=0.8 / 3),
            )
            for i in (1, 3, 5)
        },
    ),
)
# the labels' noise is learnt with 1e-3, as released
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'noise.loss': dict(lr_mult=1e-3 / 8e-3, decay_mult=0.0)}
    )
)
