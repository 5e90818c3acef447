# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by FitNet's hints on the last layer
#   bash tools/dist_train.sh \
#     configs/fitnet/fitnet-last_deit-tiny_deit3-small_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

model = dict(
    terms=dict(
        _delete_=True,
        fitnet11=dict(
            student='backbone.ln1',  # the last layer, after the final norm
            teacher='backbone.ln1',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
        ),
    )
)
