# Table 3 of the ViTKD paper: more and larger models. DeiT III-L is deeper than its
# student: the first two layers and the last one are taken from both.
_base_ = './_base_/terms.py'

title = 'More and larger models (table 3)'
columns = [
    dict(column='baseline', terms=[]),
    dict(column='+ ViTKD', terms=['mimic0', 'mimic1', 'gen']),
]
rows = [
    dict(row='Swin-B* to Swin-T', teacher='Swin-B', student='Swin-T',
         paper=[81.18, 81.70]),
    dict(row='DeiT III-B* to DeiT-S', teacher='DeiT III-B', student='DeiT-S',
         paper=[80.55, 81.95]),
    dict(row='DeiT III-L* to DeiT-B', teacher='DeiT III-L', student='DeiT-B',
         paper=[81.76, 83.46]),
]  # fmt: skip
