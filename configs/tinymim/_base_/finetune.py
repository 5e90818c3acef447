# Fine-tuning on ImageNet-1K after that pre-training. Whole but for the student.
_base_ = './students.py'  # its augmentation, with mixing

model = dict(
    _delete_=True,
    type='ImageClassifier',
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    ),
)

# 8 GPUs x 128 = 1024: lr = 5e-4 * 1024 / 256, less by 0.6 a block towards the input
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    constructor='mmvitkd.LearningRateDecayOptimWrapperConstructor',
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(layer_decay_rate=0.6),
    clip_grad=None,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, begin=5, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=1024)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
