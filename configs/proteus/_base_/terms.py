# Proteus: the class token; class token and patches; hidden patches. The second is a
# mean over the class token, by the first's head, and N patches, by a head of their own:
# 1 / (N + 1) of the first and N / (N + 1) of a term on patches. Here N is 16.
patches = 16
_projector = dict(type='NormProjector')
_mse = dict(type='ViTKDMimicLoss', reduction='mean')
proteus_terms = dict(
    token=dict(
        student=dict(path='backbone.ln1', tokens='cls'),
        teacher=dict(path='backbone.ln1', tokens='cls'),
        neck=_projector,
        loss=dict(_mse, loss_weight=1 + 1 / (patches + 1)),
    ),
    patch=dict(
        student='backbone.ln1',
        teacher='backbone.ln1',
        neck=_projector,
        loss=dict(_mse, loss_weight=patches / (patches + 1)),
    ),
    masked=dict(
        student='backbone.ln1',
        teacher='backbone.ln1',
        view=dict(type='MaskedView', mask_ratio=0.5, image_ratio=0.5),
        neck=_projector,
        loss=dict(type='ViTKDGenLoss', reduction='mean', loss_weight=1.0),
    ),
)
