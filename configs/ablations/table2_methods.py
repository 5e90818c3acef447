# Table 2 of the ViTKD paper: logit and feature distillation under two teachers; below
# its rows, other methods on logits and class tokens; the figure of NKD is table 13's.
_base_ = './_base_/terms.py'

title = 'Methods under two teachers (table 2)'
student = 'DeiT-T'
columns = [
    dict(column='DeiT-S', teacher='DeiT-S'),
    dict(column='DeiT III-S*', teacher='DeiT III-S'),
]
rows = [
    dict(row='baseline', terms=[], paper=[74.42, 74.42], paper_top5=[92.29, 92.29]),
    dict(
        row='KD',
        terms=['kd'],
        task_weight=0.5,
        paper=[75.01, 76.01],
        paper_top5=[92.52, 93.26],
    ),
    dict(
        row='Hard KD',
        terms=['hard'],
        task_weight=0.5,
        paper=[75.10, 76.08],
        paper_top5=[92.55, 93.30],
    ),
    dict(
        row='FitNet',
        terms=['mimic-last'],
        paper=[73.36, 73.72],
        paper_top5=[91.88, 91.88],
    ),
    dict(row='MGD', terms=['mgd'], paper=[74.46, 74.53], paper_top5=[92.28, 92.28]),
    dict(
        row='ViTKD',
        terms=['mimic0', 'mimic1', 'gen'],
        paper=[75.40, 76.06],
        paper_top5=[92.66, 93.16],
    ),
    dict(row='NKD', terms=['nkd'], paper=[75.48, None]),
    dict(row='DKD', terms=['dkd']),
    dict(row='DIST', terms=['dist']),
    dict(
        row='PKD',
        terms=['kd', *(f'pkd{i}' for i in range(6, 11))],
        task_weight=0.5,
    ),
]
