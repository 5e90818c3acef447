# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by PKD-Skip, arXiv:1908.09355
#   bash tools/dist_train.sh configs/pkd/pkd-skip_deit-tiny_deit3-small_8xb128_in1k.py 8
# PKD is a method for BERT: no paper has a figure for this pair; not yet run here.
_base_ = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

# The teacher's layers 2, 4, 6, 8 and 10, counted from 1; weights as of PKD-Last
model = dict(
    terms={
        f'pkd{i}': dict(
            student=dict(path=f'backbone.layers.{i}', tokens='cls'),
            teacher=dict(path=f'backbone.layers.{i}', tokens='cls'),
            neck=dict(type='LinearProjector'),
            loss=dict(type='NormalisedMSELoss', loss_weight=0.13),
        )
        for i in range(1, 11, 2)
    }
)
