# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny the correlation matrices of its first
# two layers, equation 7 of ViTKD, arXiv:2209.02432
#   bash tools/dist_train.sh \
#     configs/correlation/correlation_deit-tiny_deit3-small_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# the paper gives no weight for it: that of mimicking is our choice
model = dict(
    terms=dict(
        _delete_=True,
        correlation0=dict(
            student='backbone.layers.0',
            teacher='backbone.layers.0',
            loss=dict(type='CorrelationLoss', loss_weight=3e-5),
        ),
        correlation1=dict(
            student='backbone.layers.1',
            teacher='backbone.layers.1',
            loss=dict(type='CorrelationLoss', loss_weight=3e-5),
        ),
    )
)
