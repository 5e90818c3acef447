# Table 10 of the ViTKD paper: the masked share of the deep layer's tokens. At 0 every
# token is generated and compared. Below, equation 2 to the letter: every token is
# masked by itself, where the released code masks an exact count.
_base_ = './_base_/terms.py'

title = 'Mask ratio (table 10)'
student = 'DeiT-T'
teacher = 'DeiT III-S'
vitkd = ['mimic0', 'mimic1', 'gen']
rows = [
    dict(row='baseline', terms=[], paper=74.42),
    dict(row='0', terms=vitkd, change={'gen.neck.mask_ratio': 0.0}, paper=75.77),
    dict(row='0.3', terms=vitkd, change={'gen.neck.mask_ratio': 0.3}, paper=75.86),
    dict(row='0.5', terms=vitkd, paper=76.06),
    dict(row='0.7', terms=vitkd, change={'gen.neck.mask_ratio': 0.7}, paper=75.94),
    dict(row='0.9', terms=vitkd, change={'gen.neck.mask_ratio': 0.9}, paper=75.83),
    dict(row='0.5, Bernoulli', terms=vitkd, change={'gen.neck.masking': 'bernoulli'}),
]
