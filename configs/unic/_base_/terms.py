# UNIC: class token and patches of two teachers, named one and other, each compared with
# an MLP of its own. Taps are those of MMPretrain's ViTs.
_neck = dict(type='MLPProjector')
_loss = dict(type='UNICLoss', reduction='none')
unic_terms = dict(
    one_token=dict(
        student=dict(path='backbone.ln1', tokens='cls'),
        teacher=dict(path='one:backbone.ln1', tokens='cls'),
        neck=_neck,
        loss=_loss,
    ),
    one_patch=dict(
        student='backbone.ln1', teacher='one:backbone.ln1', neck=_neck, loss=_loss
    ),
    other_token=dict(
        student=dict(path='backbone.ln1', tokens='cls'),
        teacher=dict(path='other:backbone.ln1', tokens='cls'),
        neck=_neck,
        loss=_loss,
    ),
    other_patch=dict(
        student='backbone.ln1', teacher='other:backbone.ln1', neck=_neck, loss=_loss
    ),
)
# a batch's share of the teachers' running statistics, over a training of so many epochs
unic_epochs = 200
_momentum = dict(kind='cosine', end=unic_epochs, start_factor=1.0, end_factor=0.001)
unic_hook = dict(
    type='mmvitkd.TermWeightHook',
    settings={
        'one_token.momentum': _momentum,
        'one_patch.momentum': _momentum,
        'other_token.momentum': _momentum,
        'other_patch.momentum': _momentum,
    },
)
