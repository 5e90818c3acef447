# Does aligning the last layer harm, the more so the narrower the student is to its
# teacher (Distillation Dynamics, arXiv:2511.06848)? One teacher of width 64, students
# of width 24, 32 and 64; the last layer at the weight of the shallow ones, and at less.
_base_ = './_base_/terms.py'

title = 'Alignment by layer, and width of the student'
datasets = ['fashion-mnist']
teacher = 'DeiT III-S'
columns = [
    dict(column='width 24', student='width 24'),
    dict(column='width 32', student='DeiT-T'),
    dict(column='width 64', student='DeiT-S'),
]
rows = [
    dict(row='baseline', terms=[]),
    dict(row='first two layers', terms=['mimic0', 'mimic1']),
    dict(row='last layer', terms=['mimic-last']),
    *(
        dict(
            row=f'last layer, weight x 1/{part}',
            terms=['mimic-last'],
            change={'mimic-last.loss.loss_weight': 3e-5 / part},
        )
        for part in (8, 64)
    ),
]
