# FitNet on digits at less weight: the tables give every mimicking term the weight that
# ViTKD's shallow layers wanted there, 16 times what makes the paper's sums equal. Here
# they have 1 and 4 times as much.
_base_ = './_base_/terms.py'

title = "FitNet's weight on digits"
datasets = ['digits']
student = 'DeiT-T'
teacher = 'DeiT-S'
layers = {
    'last layer': ['mimic-last'],
    'last 6 layers': [*(f'mimic{i}' for i in range(6, 11)), 'mimic-last'],
    'all 12 layers': [*(f'mimic{i}' for i in range(11)), 'mimic-last'],
}
rows = [
    dict(row='baseline', terms=[]),
    *(
        dict(
            row=f'{name}, x {factor}',
            terms=terms,
            change={f'{term}.loss.loss_weight': 3e-5 * factor / 16 for term in terms},
        )
        for name, terms in layers.items()
        for factor in (1, 4)
    ),
]
