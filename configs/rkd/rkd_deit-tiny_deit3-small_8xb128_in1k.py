# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by RKD-DA, arXiv:1904.05068
#   bash tools/dist_train.sh configs/rkd/rkd_deit-tiny_deit3-small_8xb128_in1k.py 8
# The paper has no transformers: none has a figure for this pair; not yet run here.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# The class token that the heads read; the weights of the released script for
# classification
model = dict(
    terms=dict(
        _delete_=True,
        rkd=dict(
            student=dict(path='backbone.ln1', tokens='cls'),
            teacher=dict(path='backbone.ln1', tokens='cls'),
            loss=dict(type='RKDLoss', distance=25.0, angle=50.0),
        ),
    ),
)
