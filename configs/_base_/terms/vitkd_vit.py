# ViTKD between plain vision transformers (ViT, DeiT, DeiT III): the first two layers
# are mimicked (equation 1, alpha = 3e-5) and the last one, after the final norm, is
# generated (equation 5, beta = 3e-6, lambda = 0.5), whatever the two depths are.
vitkd_terms = dict(
    mimic0=dict(
        student='backbone.layers.0',
        teacher='backbone.layers.0',
        neck=dict(type='LinearProjector'),
        loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
    ),
    mimic1=dict(
        student='backbone.layers.1',
        teacher='backbone.layers.1',
        neck=dict(type='LinearProjector'),
        loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
    ),
    gen=dict(
        student='backbone.ln1',
        teacher='backbone.ln1',
        neck=dict(type='ConvGenerativeProjector', mask_ratio=0.5),
        loss=dict(type='ViTKDGenLoss', loss_weight=3e-6),
    ),
)
