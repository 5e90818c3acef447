optim_wrapper = dict(
    # fused: the many small tensors would cost more than the arithmetic
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    # the warm-up multiplies the cosine, so that any max_epochs makes a schedule
    dict(type='LinearLR', start_factor=0.01, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', convert_to_iter_based=True),
]

# how long, and how often to validate, is for each config to say
train_cfg = dict(by_epoch=True)
val_cfg = dict()
test_cfg = dict()
