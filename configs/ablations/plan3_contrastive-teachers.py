# An ablation plan for intra-class contrastive distillation (arXiv:2509.22053): the same
# student by KD under teachers that were trained with a contrastive loss, and under a
# plain one. Every seed has a teacher of its own. With the margin on probabilities none
# is above 1.0, so there the contrastive loss is off.
_base_ = './_base_/terms.py'

title = 'Teachers trained with a contrastive loss (ablation plan)'
student = 'DeiT-T'
teacher_of_each_seed = True
rows = [
    dict(row='baseline', terms=[]),
    dict(
        row='plain teacher',
        teacher='DeiT-S, trained here',
        terms=['kd'],
        task_weight=0.5,
    ),
    *(
        dict(
            row=f'intra-class, margin {margin}',
            teacher=f'intra-class, margin {margin}',
            terms=['kd'],
            task_weight=0.5,
        )
        for margin in (0.1, 0.5, 1.0)
    ),
    *(
        dict(row=kind, teacher=kind, terms=['kd'], task_weight=0.5)
        for kind in ('inter-class', 'self-supervised')
    ),
]
