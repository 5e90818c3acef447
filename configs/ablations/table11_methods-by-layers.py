# Table 11 of the ViTKD paper: mimicking and generation, each on the shallow layers, the
# deep one, and both.
_base_ = './_base_/terms.py'

title = 'Methods by layers (table 11)'
student = 'DeiT-T'
teacher = 'DeiT III-S'
rows = [
    dict(row='baseline', terms=[], paper=74.42),
    dict(row='mimicking, shallow', terms=['mimic0', 'mimic1'], paper=75.31),
    dict(row='mimicking, deep', terms=['mimic-last'], paper=73.72),
    dict(
        row='mimicking, shallow and deep',
        terms=['mimic0', 'mimic1', 'mimic-last'],
        paper=74.65,
    ),
    dict(row='generation, shallow', terms=['gen0', 'gen1'], paper=74.69),
    dict(row='generation, deep', terms=['gen'], paper=74.79),
    dict(
        row='generation, shallow and deep',
        terms=['gen0', 'gen1', 'gen'],
        paper=75.02,
    ),
    dict(row='ViTKD', terms=['mimic0', 'mimic1', 'gen'], paper=76.06),
]
