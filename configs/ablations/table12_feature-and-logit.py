# Table 12 of the ViTKD paper: methods that use features and logits, on DeiT-Small. The
# figures of DearKD and of manifold distillation are their authors', with teachers of
# their own; here manifold distillation has ViTKD's teacher. The baseline is
# table 3's.
_base_ = './_base_/terms.py'

title = 'Features and logits (table 12)'
student = 'DeiT-S'
teacher = 'DeiT III-B'
rows = [
    dict(row='baseline', terms=[], paper=80.55),
    dict(row='DearKD', absent='not implemented', paper=81.5),
    dict(
        row='Manifold',
        terms=['kd', *(f'manifold{i}' for i in (0, 1, 2, 3, 8, 9, 10, 11))],
        change={'kd.loss.loss_weight': 1.0},
        task_weight=0.0,
        paper=82.2,
    ),
    dict(row='ViTKD', terms=['mimic0', 'mimic1', 'gen'], paper=82.0),
    dict(row='ViTKD + logit KD', terms=['mimic0', 'mimic1', 'gen', 'nkd'], paper=83.6),
]
