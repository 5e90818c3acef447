# Figure 3 of the ViTKD paper: ViTKD together with NKD.
_base_ = './_base_/terms.py'

title = 'ViTKD and NKD together (figure 3)'
columns = [
    dict(column='baseline', terms=[]),
    dict(column='ViTKD', terms=['mimic0', 'mimic1', 'gen']),
    dict(column='ViTKD + NKD', terms=['mimic0', 'mimic1', 'gen', 'nkd']),
]
rows = [
    dict(row='DeiT III-S* to DeiT-T', teacher='DeiT III-S', student='DeiT-T',
         paper=[74.42, 76.06, 77.78]),
    dict(row='DeiT III-B* to DeiT-S', teacher='DeiT III-B', student='DeiT-S',
         paper=[80.55, 81.95, 83.59]),
    dict(row='DeiT III-L* to DeiT-B', teacher='DeiT III-L', student='DeiT-B',
         paper=[81.76, 83.46, 85.41]),
]  # fmt: skip
