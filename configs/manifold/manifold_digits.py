# Fine-grained manifold distillation on digits, after digits_teacher.py.
#   python tools/train.py configs/manifold/manifold_digits.py
_base_ = '../digits/vitkd_digits.py'

# the first and the last third of the layers, as on ImageNet, and no labels
model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
        **{
            f'manifold{i}': dict(
                student=f'backbone.layers.{i}',
                teacher=f'backbone.layers.{i}',
                loss=dict(type='ManifoldLoss', loss_weight=1 / 4),
            )
            for i in (0, 1, 4, 5)
        },
    ),
)
