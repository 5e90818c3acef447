# Table 9 of the ViTKD paper: which module of layers 0 and 1. The paper's "FFN" are the
# numbers of its other tables, where the layer's output is taken, residual included; so
# its row stands beside the layer's output, and the FFN's own branch has no figure.
_base_ = './_base_/terms.py'

title = 'Modules of the shallow layers (table 9)'
student = 'DeiT-T'
columns = [
    dict(column='DeiT-S', teacher='DeiT-S'),
    dict(column='DeiT III-S*', teacher='DeiT III-S'),
]
rows = [
    dict(row='baseline', terms=[], paper=[74.42, 74.42]),
    dict(row='MHA-out, its branch', terms=['mha0', 'mha1'], paper=[75.06, 75.02]),
    dict(row='FFN-out, its branch', terms=['ffn0', 'ffn1']),
    dict(
        row='FFN-out, the whole layer',
        terms=['mimic0', 'mimic1'],
        paper=[75.12, 75.31],
    ),
]
