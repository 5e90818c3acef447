# Figure 5b of the ViTKD paper: beta, the weight of generation. The paper draws a curve
# and prints one of its values; the others that are tried here are ours.
_base_ = './_base_/terms.py'

title = 'Weight of generation, beta (figure 5b)'
student = 'DeiT-T'
teacher = 'DeiT III-S'
rows = [
    dict(row='baseline', terms=[], paper=74.42),
    *(
        dict(
            row=f'{beta}e-6',
            terms=['mimic0', 'mimic1', 'gen'],
            change={'gen.loss.loss_weight': float(f'{beta}e-6')},
            paper=76.06 if beta == 3 else None,
        )
        for beta in (1, 2, 3, 4, 5)
    ),
]
