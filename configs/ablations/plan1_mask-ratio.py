# An ablation plan for ViTKD: the mask ratio. Of its five ratios, the paper's table 10
# has all but 0.1.
_base_ = './_base_/terms.py'

title = 'Mask ratio, from 0.1 (ablation plan)'
student = 'DeiT-T'
teacher = 'DeiT III-S'
vitkd = ['mimic0', 'mimic1', 'gen']
rows = [
    dict(row='baseline', terms=[], paper=74.42, paper_top5=92.29),
    dict(row='0.1', terms=vitkd, change={'gen.neck.mask_ratio': 0.1}),
    dict(row='0.3', terms=vitkd, change={'gen.neck.mask_ratio': 0.3}, paper=75.86),
    dict(row='0.5', terms=vitkd, paper=76.06, paper_top5=93.16),
    dict(row='0.7', terms=vitkd, change={'gen.neck.mask_ratio': 0.7}, paper=75.94),
    dict(row='0.9', terms=vitkd, change={'gen.neck.mask_ratio': 0.9}, paper=75.83),
]
