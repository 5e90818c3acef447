# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by DIST, arXiv:2205.10536
#   bash tools/dist_train.sh configs/dist/dist_deit-tiny_deit3-small_8xb128_in1k.py 8
# No paper has a figure for this pair that we know of; not yet run here.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# as released for ImageNet: kd_loss_weight 2 beside 1 for the labels
model = dict(
    terms=dict(
        _delete_=True,
        dist=dict(
            student='head',
            teacher='head',
            loss=dict(
                type='DISTLoss', beta=1.0, gamma=1.0, temperature=1.0, loss_weight=2.0
            ),
        ),
    ),
)
