# DeiT III-Small (ImageNet-21K) teaches an ordinary DeiT-Tiny by VkD's terms,
# arXiv:2403.06213: what they bring without the stem
#   bash tools/dist_train.sh \
#     configs/vkd/vkd-plain_deit-tiny_deit3-small_8xb128_in1k.py 8
# No paper has a figure for this pair that we know of; not yet run here.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

model = dict(
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
        vkd=dict(
            student=dict(path='backbone.ln1', tokens='cls'),
            teacher=dict(path='backbone.ln1', tokens='cls'),
            neck=dict(type='OrthogonalProjector'),
            loss=dict(type='SmoothL1Loss', loss_weight=1.0),
        ),
    )
)
