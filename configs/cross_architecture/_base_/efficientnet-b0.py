# EfficientNet-B0, its last map of 14x14 under a teacher across architectures, by the
# paper's schedule: 120 epochs, SGD, a tenth after 30, 60 and 90, 256 images a step.
_base_ = ['../../_base_/students/efficientnet-b0_in1k.py', './terms.py']

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    task_weight=0.5,
    terms=dict(
        kd=_base_.kd_term,
        **{
            name: dict(student='backbone.layers.4', **term)
            for name, term in _base_.cross_terms.items()
        },
    ),
)
custom_hooks = _base_.cross_hooks
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.cross_keys))
train_cfg = dict(max_epochs=120)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
