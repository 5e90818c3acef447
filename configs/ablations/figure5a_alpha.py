# Figure 5a of the ViTKD paper: alpha, the weight of mimicking. The paper draws a curve
# over 2e-5 to 6e-5, from 76.03 to 76.15, and prints one of its values.
_base_ = './_base_/terms.py'

title = 'Weight of mimicking, alpha (figure 5a)'
student = 'DeiT-T'
teacher = 'DeiT III-S'
rows = [
    dict(row='baseline', terms=[], paper=74.42),
    *(
        dict(
            row=f'{alpha}e-5',
            terms=['mimic0', 'mimic1', 'gen'],
            change={
                'mimic0.loss.loss_weight': float(f'{alpha}e-5'),
                'mimic1.loss.loss_weight': float(f'{alpha}e-5'),
            },
            paper=76.06 if alpha == 3 else None,
        )
        for alpha in (2, 3, 4, 5, 6)
    ),
]
