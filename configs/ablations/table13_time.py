# Table 13 of the ViTKD paper: the time of an epoch, all rows side by side in one run;
# the paper's minutes are those of 8 RTX 3090.
_base_ = './_base_/terms.py'

title = 'Time of an epoch (table 13)'
student = 'DeiT-T'
teacher = 'DeiT-S'
time_an_epoch = True
rows = [
    dict(row='baseline', terms=[], paper=74.42),
    dict(row='NKD', terms=['nkd'], paper=75.48, paper_minutes=7.6),
    dict(
        row='ViTKD', terms=['mimic0', 'mimic1', 'gen'], paper=75.40, paper_minutes=7.8
    ),
    dict(
        row='ViTKD + NKD',
        terms=['mimic0', 'mimic1', 'gen', 'nkd'],
        paper=76.18,
        paper_minutes=7.9,
    ),
]
