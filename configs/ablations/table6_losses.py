# Table 6 of the ViTKD paper: mimicking and generation, each alone and together.
_base_ = './_base_/terms.py'

title = 'The two losses (table 6)'
student = 'DeiT-T'
columns = [
    dict(column='DeiT-S', teacher='DeiT-S'),
    dict(column='DeiT III-S*', teacher='DeiT III-S'),
]
rows = [
    dict(row='baseline', terms=[], paper=[74.42, 74.42]),
    dict(row='mimicking', terms=['mimic0', 'mimic1'], paper=[75.12, 75.31]),
    dict(row='generation', terms=['gen'], paper=[74.72, 74.79]),
    dict(row='both', terms=['mimic0', 'mimic1', 'gen'], paper=[75.40, 76.06]),
]
