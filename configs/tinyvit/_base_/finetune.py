# Fine-tuning on ImageNet-1K after label-free pre-training. Whole but for the student.
_base_ = '../../_base_/students/deit-tiny_in1k.py'  # its augmentation, without mixing

model = dict(_delete_=True, type='ImageClassifier')

# 8 GPUs x 128 = 1024: lr = 2.5e-4 * 1024 / 512, less by 0.8 a block towards the input
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    constructor='mmvitkd.LearningRateDecayOptimWrapperConstructor',
    optimizer=dict(lr=5e-4, weight_decay=1e-8),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=5, convert_to_iter_based=True),
    # 1e-5 of the released code, scaled like the rate
    dict(type='CosineAnnealingLR', eta_min=2e-5, begin=5, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=1024)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
