# The same with teachers from timm, and the gradients' norm that was released.
_base_ = './co_advise.py'

co_advise_terms = dict(
    conv=dict(teacher='conv:model.head'), inv=dict(teacher='inv:model.head')
)
co_advise_clip_grad = dict(max_norm=15.0)
