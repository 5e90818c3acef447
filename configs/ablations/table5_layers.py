# Table 5 of the ViTKD paper: mimicking of layer sets, generation of the deep ones.
_base_ = './_base_/terms.py'

title = 'Which layers (table 5)'
student = 'DeiT-T'
teacher = 'DeiT-S'
rows = [
    dict(row='baseline', terms=[], paper=74.42),
    dict(row='shallow: 0', terms=['mimic0'], paper=75.01),
    dict(row='shallow: 0, 1', terms=['mimic0', 'mimic1'], paper=75.12),
    dict(row='shallow: 5, 6', terms=['mimic5', 'mimic6'], paper=75.01),
    dict(row='shallow: 0, 1, 6', terms=['mimic0', 'mimic1', 'mimic6'], paper=75.14),
    dict(row='shallow: 0 to 6', terms=[f'mimic{i}' for i in range(7)], paper=75.16),
    dict(row='deep: 11', terms=['gen'], paper=74.72),
    dict(row='deep: 10, 11', terms=['gen10', 'gen'], paper=74.70),
]
