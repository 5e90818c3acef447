# UVC's two stages, arXiv:2203.08243, for whichever student: the distillation from the
# student's own weights as they were, and the released settings.

# the mean over the classes, too, as released
uvc_terms = dict(
    kd=dict(
        student='head',
        teacher='head',
        loss=dict(type='KDLoss', temperature=1.0, reduction='mean', loss_weight=0.1),
    ),
)
# mixed with a probability of 0.8, by either
uvc_augments = dict(
    augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)],
    probs=[0.4, 0.4],
)
uvc_hooks = [dict(type='mmvitkd.BlockSkippingHook', budget=0.5)]
