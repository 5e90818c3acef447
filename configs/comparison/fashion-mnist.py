# The methods on Fashion-MNIST: as methods.py, with enough images to tell half a point.
# README.md has the protocol, which was written down before the first result.
_base_ = './methods.py'

title = 'Methods, compared on Fashion-MNIST'
student = '../fashion_mnist/fashion-mnist_student.py'
pair = '../fashion_mnist/vitkd_fashion-mnist.py'
teachers = dict(
    ViT='../fashion_mnist/fashion-mnist_teacher.py',
    ResNet='../fashion_mnist/fashion-mnist_teacher-resnet.py',
    ResNet2x2='../cskd/cskd-teacher_fashion-mnist.py',
    itself='../fashion_mnist/fashion-mnist_student.py',
)
# the methods' own configs are for digits; what each changes of the student without
# distillation there, it changes of the one above
written_for = dict(
    student='../digits/digits_student.py',
    teachers={
        'digits_teacher': 'ViT',
        'digits_teacher-resnet': 'ResNet',
        'cskd-teacher_digits': 'ResNet2x2',
        'digits_student': 'itself',
    },
)
options = {
    'train_cfg.val_interval': 50,
    'test_evaluator': [
        dict(type='Accuracy', topk=1),
        dict(type='mmvitkd.NegativeLogLikelihood'),
        dict(type='mmvitkd.ExpectedCalibrationError'),
    ],
    'default_hooks.corruptions': dict(type='mmvitkd.CorruptionHook', images=2000),
}

# a range is widened twice at most where its end is best
widenings = 2
paired = True
without_factor = (
    'A student alone has no factor: the learning rate and weight decay that all share '
    'were chosen for it (configs/fashion_mnist/README.md).'
)

long_schedule = {'train_cfg.max_epochs': 167}
# the sums of FitNet and MGD run over 16 tokens of 64 channels
same_sum = 196 * 384 / (16 * 64)
changes = {
    'student alone, long schedule': dict(options=long_schedule),
    'KD, long schedule': dict(options=long_schedule),
    'FitNet, last layer': dict(scale=same_sum),
    'MGD': dict(scale=same_sum),
    # the teacher is half as wide
    **{
        name: dict(config=f'../encoding_mismatch/{config}_fashion-mnist.py')
        for name, config in {
            'Lift, student alone': 'lift-student',
            'Lift': 'lift',
            'WideLast, student alone': 'wide-last-student',
            'WideLast': 'wide-last',
        }.items()
    },
    'CSKD': dict(
        options={
            'custom_hooks': [
                dict(
                    type='mmvitkd.TermWeightHook',
                    settings={'dense.global_share': dict(kind='ramp', end=100)},
                )
            ]
        }
    ),
    # 100 ep * 250 / 300 = 83 ep
    'DearKD': dict(
        options={
            'custom_hooks': [
                dict(
                    type='mmvitkd.TermWeightHook',
                    terms={
                        name: dict(kind='stop', end=83)
                        for name in ('hard', 'hidden0', 'hidden1')
                    },
                    task_weight=dict(kind='stop', end=83, factor_after=2),
                )
            ]
        }
    ),
}
methods = [
    *({**one, **changes.get(one['name'], {})} for one in _base_.methods),
    # for docs/choosing.md, after its term had been the best of the ablation's
    dict(
        name='last layer mimicked + NKD',
        config='../fashion_mnist/mimic-last-nkd_fashion-mnist.py',
        weights="those of ViTKD's mimicking and of NKD",
    ),
]
