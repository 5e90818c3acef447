# What VanillaKD's strategy A1, that of "ResNet strikes back", changes in a config of
# MMPretrain's DeiT; and the term. Weights and temperature are 1.
vanilla_kd = dict(
    type='mmvitkd.ViTKDDistiller',
    teacher=dict(
        # timm fetches its weights from HuggingFace
        cfg=dict(
            type='TimmClassifier',
            model_name='beitv2_base_patch16_224.in1k_ft_in22k_in1k',
            pretrained=True,
        ),
    ),
    terms=dict(
        kd=dict(
            student='head',
            teacher='model.head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
    ),
)
vanilla_student = dict(
    backbone=dict(drop_path_rate=0.05),
    # every class by itself, the mean over the classes
    head=dict(loss=dict(use_sigmoid=True)),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.2), dict(type='CutMix', alpha=1.0)]
    ),
)
a1_pipeline = dict(RandAugment=dict(magnitude_level=7))
a1_optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Lamb', lr=5e-3, weight_decay=0.01),
    clip_grad=None,
)
a1_scheduler = [
    dict(type='LinearLR', start_factor=2e-4, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, begin=5),
]
