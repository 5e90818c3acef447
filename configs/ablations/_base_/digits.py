# What the tables' names stand for on scikit-learn's digits: the paper's models with
# every width divided by eight and heads eight wide, on 4x4 tokens. "*", pre-trained on
# more images than the student sees, becomes: trained on 700 labels, where the students
# and the other teachers have 200. ../README.md says how this was chosen.
_base_ = './common.py'

# 100 ep = 400 iters * 50 images/iter / 200 images/ep
options = {
    'optim_wrapper.optimizer.lr': 2e-3,
    'optim_wrapper.optimizer.weight_decay': 0.05,
    'optim_wrapper.clip_grad': dict(max_norm=5.0),
    'train_cfg.max_epochs': 100,
    'train_cfg.val_interval': 25,
    'default_hooks.checkpoint.interval': 25,
    'test_evaluator': [
        dict(type='Accuracy', topk=(1, 5)),
        dict(type='mmvitkd.NegativeLogLikelihood'),
    ],
}

vits = {
    f'{size}-{depth}': {
        'model.backbone.arch': dict(
            embed_dims=width,
            num_layers=depth,
            num_heads=width // 8,
            feedforward_channels=4 * width,
        ),
        'model.head.in_channels': width,
    }
    for size, width, depth in (
        ('T', 24, 12), ('S', 48, 12), ('B', 96, 12), ('L', 128, 16),
    )
}  # fmt: skip
# patches of 2x2 pixels, so grids of 16x16, 8x8, 4x4 and 2x2
swins = {
    name: {
        'model.backbone': dict(
            _delete_=True,
            type='SwinTransformer',
            arch=dict(embed_dims=width, depths=depths, num_heads=heads),
            img_size=32,
            patch_size=2,
            window_size=2,
        ),
        'model.neck': dict(type='GlobalAveragePooling'),
        'model.head': dict(
            _delete_=True,
            type='LinearClsHead',
            num_classes=10,
            in_channels=8 * width,
            loss=dict(type='CrossEntropyLoss'),
        ),
    }
    for name, width, depths, heads in (
        ('T', 12, [2, 2, 6, 2], [1, 2, 4, 8]),
        ('B', 16, [2, 2, 18, 2], [1, 2, 4, 8]),
    )
}

students = {
    'DeiT-T': dict(config='../../digits/digits_student.py', options=vits['T-12']),
    'DeiT-S': dict(config='../../digits/digits_student.py', options=vits['S-12']),
    'DeiT-B': dict(config='../../digits/digits_student.py', options=vits['B-12']),
    'Swin-T': dict(
        config='../../digits/digits_student.py',
        options=swins['T'],
        taps=_base_.swin_taps,
    ),
}
teachers = {
    # 200 ep = 800 iters * 50 images/iter / 200 images/ep
    **{
        f'DeiT-{size}': dict(
            train='../../digits/digits_student.py',
            options={**vits[f'{size}-12'], **lr, 'train_cfg.max_epochs': 200},
        )
        for size, lr in (('S', {}), ('B', {'optim_wrapper.optimizer.lr': 1e-3}))
    },
    # 60 ep = 840 iters * 50 images/iter / 700 images/ep
    **{
        f'DeiT III-{size}': dict(
            train='../../digits/digits_teacher.py',
            options={
                **vits[arch],
                'optim_wrapper.optimizer.lr': lr,
                'train_cfg.max_epochs': 60,
                'train_cfg.val_interval': 20,
            },
        )
        for size, arch, lr in (
            ('S', 'S-12', 2e-3), ('B', 'B-12', 1e-3), ('L', 'L-16', 1e-3),
        )
    },
    'Swin-B': dict(
        train='../../digits/digits_teacher.py',
        options={
            **swins['B'],
            'train_cfg.max_epochs': 60,
            'train_cfg.val_interval': 20,
        },
        taps=_base_.swin_taps,
    ),
    # ../plan3_contrastive-teachers.py: 100 ep = 400 iters, as the students
    'DeiT-S, trained here': dict(
        train='../../digits/digits_student.py', options=vits['S-12']
    ),
    **{
        name: dict(
            train='../../intra_class/intra-class_teacher_digits.py',
            options={
                **vits['S-12'],
                'train_dataloader.dataset.num_labels': 200,
                **contrast,
            },
        )
        for name, contrast in _base_.contrasts.items()
    },
}  # fmt: skip

# By the beginning of a term's name. The paper's sums run over 196 tokens of the
# teacher's width, here over 16 tokens of an eighth of it, and correlation matrices have
# 196 * 196 entries there, 16 * 16 here. On top, mimicking counts 16 times as much and
# generation 4 times, as ViTKD wanted it on the validation split (../search_weights.py).
sums = 196 * 8 / 16
weight_factors = dict(
    mimic=16 * sums,
    mha=16 * sums,
    ffn=16 * sums,
    correlation=16 * (196 / 16) ** 2,
    gen=4 * sums,
    mgd=sums,
)
