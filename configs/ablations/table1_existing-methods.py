# Table 1 of the ViTKD paper: methods made for CNNs, or for BERT, on a ViT.
_base_ = './_base_/terms.py'

title = 'Existing feature distillation on a ViT (table 1)'
student = 'DeiT-T'
teacher = 'DeiT-S'
rows = [
    dict(row='baseline', terms=[], paper=74.42, paper_top5=92.29),
    dict(row='MGD', terms=['mgd'], paper=74.46, paper_top5=92.28),
    dict(row='FitNet, last layer', terms=['mimic-last'], paper=73.36, paper_top5=91.88),
    dict(
        row='FitNet, last 6 layers',
        terms=[*(f'mimic{i}' for i in range(6, 11)), 'mimic-last'],
        paper=73.76,
        paper_top5=92.01,
    ),
    dict(
        row='FitNet, all 12 layers',
        terms=[*(f'mimic{i}' for i in range(11)), 'mimic-last'],
        paper=74.24,
        paper_top5=92.23,
    ),
]
