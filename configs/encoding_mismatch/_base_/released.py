# What the released scripts of the paper have in common: the teacher, KD at 0.9 and
# labels at 0.1, neither Mixup nor CutMix, no gradient clipping, a short warm-up, images
# three times in an epoch.
_base_ = '../../spectral_kd/spectral-kd_deit-tiny_cait-s24_2xb256-400e_in1k.py'

# 4 GPUs x 512 = 2048, for which lr = 5e-4 * 2048 / 512
train_dataloader = dict(batch_size=512, sampler=dict(type='RepeatAugSampler'))
optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=None)
auto_scale_lr = dict(base_batch_size=2048)
param_scheduler = [
    dict(type='LinearLR', start_factor=5e-4, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=5),
]
train_cfg = dict(max_epochs=300)

# the last layer only, as it leaves the block; both sides are of the same width
spectral_loss = dict(type='SpectralLoss', loss_weight=0.2)
mse_loss = dict(type='ViTKDMimicLoss', reduction='mean', loss_weight=0.2)
lift_student = dict(
    backbone=dict(out_type='featmap', final_norm=False),
    head=dict(
        _delete_=True,
        type='LiftClsHead',
        num_classes=1000,
        in_channels=192,
        lift_channels=384,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
wide_last_student = dict(
    backbone=dict(type='WideLastViT', last_dims=384, last_heads=6),
    head=dict(in_channels=384),
)
