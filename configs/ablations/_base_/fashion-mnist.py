# What the tables' names stand for on Fashion-MNIST: six layers in the place of twelve,
# every width divided by six (DeiT-Tiny's is 32), heads 16 wide, on 4x4 tokens. "*",
# pre-trained on more images than the student sees, becomes: trained on the 50,000
# labels, where students and other teachers have 2,000. ../README.md has the protocol.
_base_ = './common.py'

# a seed gives all rows the same initial student and order of images
paired = True
options = {
    'train_cfg.val_interval': 50,
    'test_evaluator': [
        dict(type='Accuracy', topk=(1, 5)),
        dict(type='mmvitkd.NegativeLogLikelihood'),
        dict(type='mmvitkd.ExpectedCalibrationError'),
    ],
    'default_hooks.corruptions': dict(type='mmvitkd.CorruptionHook', images=2000),
}


def vit(width, num_heads):
    """Make options for a ViT of six layers."""
    return {
        'model.backbone.arch': dict(
            embed_dims=width,
            num_layers=6,
            num_heads=num_heads,
            feedforward_channels=4 * width,
        ),
        'model.head.in_channels': width,
    }


vits = {
    size: vit(width, num_heads=width // 16)
    for size, width in (('T', 32), ('S', 64), ('B', 128))
}
# layers near both ends keep their distance from it, the middle ones are the middle;
# a cell that taps another layer is left out
layers = {0: 0, 1: 1, 5: 2, 6: 3, 10: 4, 11: 5}
taps = {
    f'backbone.layers.{i}': f'backbone.layers.{layers[i]}' if i in layers else None
    for i in range(12)
}

students = {
    name: dict(
        config='../../fashion_mnist/fashion-mnist_student.py', options=arch, taps=taps
    )
    for name, arch in (
        *((f'DeiT-{size}', arch) for size, arch in vits.items()),
        # two heads of 12, for ../student-width.py
        ('width 24', vit(24, num_heads=2)),
    )
}
teachers = {
    **{
        f'DeiT-{size}': dict(
            train='../../fashion_mnist/fashion-mnist_student.py',
            options=vits[size],
            taps=taps,
        )
        for size in 'SB'
    },
    **{
        f'DeiT III-{size}': dict(
            train='../../fashion_mnist/fashion-mnist_teacher.py',
            options={**vits[size], 'train_cfg.val_interval': 5},
            taps=taps,
        )
        for size in 'SB'
    },
    # ../plan3_contrastive-teachers.py: the student's 2,000 labels, as long as it
    'DeiT-S, trained here': dict(
        train='../../fashion_mnist/fashion-mnist_student.py', options=vits['S']
    ),
    **{
        name: dict(
            train='../../intra_class/intra-class_teacher_fashion-mnist.py',
            options={
                **vits['S'],
                'train_dataloader.dataset.num_labels': 2000,
                'train_cfg.max_epochs': 100,
                **contrast,
            },
        )
        for name, contrast in _base_.contrasts.items()
    },
}

# cells with these are left out
lacks = {
    **dict.fromkeys(('Swin-T', 'Swin-B'), 'not built for this data set'),
    'DeiT III-L': 'not built for this data set',
}

# By the beginning of a term's name. The paper's sums run over 196 tokens of the
# teacher's width, here over 16 tokens of a sixth of it, and correlation matrices have
# 196 * 196 entries there, 16 * 16 here. ViTKD's terms have the factor that was chosen
# for the whole method by ../../comparison/fashion-mnist.py, on the validation split.
sums = 196 * 6 / 16
vitkd = 64 * sums
weight_factors = dict(
    mimic=vitkd,
    mha=vitkd,
    ffn=vitkd,
    correlation=(196 / 16) ** 2,
    gen=vitkd,
    mgd=sums,
)
