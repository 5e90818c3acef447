# The rows of tables 5, 6, 7, 9, 10 and 11 that the ViTKD paper's claims rest on, under
# one teacher, as one family of tests. Their runs are those of the tables.
_base_ = './_base_/terms.py'

title = "The rows that the paper's claims rest on"
student = 'DeiT-T'
teacher = 'DeiT III-S'
vitkd = ['mimic0', 'mimic1', 'gen']
rows = [
    dict(row='baseline', terms=[], paper=74.42),
    dict(row='mimicking, shallow', terms=['mimic0', 'mimic1'], paper=75.31),
    dict(row='mimicking, middle', terms=['mimic5', 'mimic6']),
    dict(row='mimicking, deep', terms=['mimic-last'], paper=73.72),
    dict(row='generation, shallow', terms=['gen0', 'gen1'], paper=74.69),
    dict(row='generation, deep', terms=['gen'], paper=74.79),
    dict(row='ViTKD', terms=vitkd, paper=76.06),
    dict(
        row='ViTKD, mask ratio 0',
        terms=vitkd,
        change={'gen.neck.mask_ratio': 0.0},
        paper=75.77,
    ),
    dict(row='MHA-out, shallow', terms=['mha0', 'mha1'], paper=75.02),
    dict(
        row='generation, deep, by self-attention',
        terms=['gen'],
        change={'gen.neck.type': 'SelfAttentionGenerativeProjector'},
        paper=74.65,
    ),
    dict(
        row='generation, deep, by cross-attention',
        terms=['gen'],
        change={'gen.neck.type': 'CrossAttentionGenerativeProjector'},
        paper=73.98,
    ),
]
