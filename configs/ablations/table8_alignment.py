# Table 8 of the ViTKD paper: mimicking of layers 0 and 1 through a linear layer, or of
# their correlation matrices (equation 7).
_base_ = './_base_/terms.py'

title = 'Alignment of the shallow layers (table 8)'
student = 'DeiT-T'
columns = [
    dict(column='DeiT III-S*', teacher='DeiT III-S'),
    dict(column='DeiT-B', teacher='DeiT-B'),
]
rows = [
    dict(row='baseline', terms=[], paper=[74.42, 74.42]),
    dict(row='linear layer', terms=['mimic0', 'mimic1'], paper=[75.31, 75.15]),
    dict(
        row='correlation matrix',
        terms=['correlation0', 'correlation1'],
        paper=[74.94, 75.01],
    ),
]
