# Does `train --fast-data` cost accuracy? The student alone, by DeiT's augmentations of
# Fashion-MNIST as JPEGs, from MMPretrain's pipeline and from the two faster ones.
# README.md has the protocol.
_base_ = '../fashion_mnist/student-jpegs_fashion-mnist.py'

title = 'Faster data pipelines, on Fashion-MNIST as JPEGs'
student = '../fashion_mnist/student-jpegs_fashion-mnist.py'
pair = '../fashion_mnist/vitkd_fashion-mnist.py'  # no method here has a teacher
teachers = dict()
options = {'train_cfg.val_interval': 20}
factors = [1]
first_tuning_seed = 100
without_factor = 'Nothing is tuned here.'
baseline = to_beat = timed_against = "MMPretrain's pipeline"
paired = True

_read, _crop, _flip, _rand, _erase, _pack = _base_.train_pipeline
_pack = dict(type='mmvitkd.FastPackInputs')
_flip = {**_flip, 'type': 'mmvitkd.FastRandomFlip'}
_rand = {**_rand, 'type': 'mmvitkd.FastRandAugment'}
# as mmvitkd.datasets.fast.pipeline.faster makes them of train_pipeline
_same_pixels = [
    _read,
    {**_crop, 'type': 'mmvitkd.FastRandomResizedCrop'},
    _flip,
    _rand,
    _erase,
    _pack,
]
_same_distribution = [
    dict(
        type='mmvitkd.ReadRandomResizedCrop',
        crop=dict(scale=32, backend='pillow', interpolation='bicubic'),
    ),
    _flip,
    {**_rand, 'hparams': dict(pad_val=[73] * 3, interpolation='bilinear')},
    {**_erase, 'type': 'mmvitkd.FastRandomErasing'},
    _pack,
]
_parts = {
    'reduced decoding alone': [_same_distribution[0], *_same_pixels[2:]],
    'bilinear warps alone': [
        *_same_pixels[:3],
        _same_distribution[2],
        *_same_pixels[4:],
    ],
}
methods = [
    dict(name="MMPretrain's pipeline", config=student),
    *(
        dict(
            name=name,
            config=student,
            options={'train_dataloader.dataset.dataset.pipeline': pipeline},
        )
        for name, pipeline in {
            'same-pixels': _same_pixels,
            'same-distribution': _same_distribution,
            # what of it might cost accuracy
            **_parts,
        }.items()
    ),
]
