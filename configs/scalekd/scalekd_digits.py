# ScaleKD on digits, after digits_teacher.py.
#   python tools/train.py configs/scalekd/scalekd_digits.py
_base_ = '../digits/vitkd_digits.py'

# the paper's sums run over 49 places, these over 16: 0.08 and 0.06, times 49 / 16
views = dict(
    spatial=dict(type='DualViewLoss', view='spatial', loss_weight=0.25),
    frequency=dict(type='DualViewLoss', view='no-mean', loss_weight=0.18),
)
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
            f'inner_{view}': dict(
                student='backbone.layers.3',
                teacher='backbone.ln1',
                neck=dict(type='CrossAttentionProjector', grid=(4, 4), queries=(4, 4)),
                # the last block and the final norm
                through=['backbone.layers.5', 'backbone.ln1'],
                loss=loss,
            )
            for view, loss in views.items()
        },
        **{
            f'last_{view}': dict(
                student='backbone.ln1',
                teacher='backbone.ln1',
                neck=dict(type='CrossAttentionProjector', grid=(4, 4)),
                query=f'inner_{view}',
                loss=loss,
            )
            for view, loss in views.items()
        },
    ),
)
