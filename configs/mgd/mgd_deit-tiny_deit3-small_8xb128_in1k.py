# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by MGD, arXiv:2205.01529
#   bash tools/dist_train.sh configs/mgd/mgd_deit-tiny_deit3-small_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# mask ratio and weight as released for ImageNet's CNNs
model = dict(
    terms=dict(
        _delete_=True,
        mgd=dict(
            student='backbone.ln1',
            teacher='backbone.ln1',
            neck=dict(type='MGDProjector', mask_ratio=0.15),
            loss=dict(type='ViTKDMimicLoss', loss_weight=7e-5),
        ),
    )
)
