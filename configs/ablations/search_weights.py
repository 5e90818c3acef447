# How ViTKD's two weights were chosen: multiples of the paper's,
# on the validation split. Only the whole method is tried.
#   python tools/ablate.py search_weights --dataset digits_val --seeds 2
#   python tools/ablate.py search_weights --dataset fashion-mnist_val --seeds 2
_base_ = './_base_/terms.py'

title = "ViTKD's weights, on the validation split"
datasets = ['digits_val', 'fashion-mnist_val']
student = 'DeiT-T'
teacher = 'DeiT III-S'
rows = [
    dict(row='baseline', terms=[]),
    *(
        dict(
            row=f'alpha x {alpha}, beta x {beta}',
            terms=['mimic0', 'mimic1', 'gen'],
            change={
                'mimic0.loss.loss_weight': alpha * 3e-5,
                'mimic1.loss.loss_weight': alpha * 3e-5,
                'gen.loss.loss_weight': beta * 3e-6,
            },
        )
        for alpha in (1, 4, 16)
        for beta in (1, 4, 16)
    ),
]
