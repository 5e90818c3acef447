# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by DKD, arXiv:2203.08679
#   bash tools/dist_train.sh configs/dkd/dkd_deit-tiny_deit3-small_8xb128_in1k.py 8
# No paper has a figure for this pair that we know of; not yet run here.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# as in ViTKD's released config of this pair, and in DKD's own of ResNet-34 and -18
model = dict(
    terms=dict(
        _delete_=True,
        dkd=dict(
            student='head',
            teacher='head',
            loss=dict(type='DKDLoss', alpha=1.0, beta=0.5, temperature=1.0),
        ),
    ),
)
