# LightlyTrain's third distillation method: a class token's similarities to those of
# images before, and the similarities among an image's patches; temperatures and weights
# as released. Taps are those of MMPretrain's ViTs.
_projector = dict(
    type='LinearProjector',
    init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
)
lightly_terms = dict(
    queue=dict(
        student=dict(path='backbone.ln1', tokens='cls'),
        teacher=dict(path='backbone.ln1', tokens='cls'),
        neck=_projector,
        loss=dict(type='QueueKLLoss', size=8192, loss_weight=1.0),
    ),
    relation=dict(
        student='backbone.ln1',
        teacher='backbone.ln1',
        neck=_projector,
        loss=dict(type='RelationKLLoss', loss_weight=1.0),
    ),
)
