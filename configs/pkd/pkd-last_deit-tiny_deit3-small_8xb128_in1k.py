# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by PKD-Last, arXiv:1908.09355
#   bash tools/dist_train.sh configs/pkd/pkd-last_deit-tiny_deit3-small_8xb128_in1k.py 8
# PKD is a method for BERT: no paper has a figure for this pair; not yet run here.
_base_ = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

# The last layers but one, whose class token the logits compare. The released beta, one
# of 10, 100, 500 and 1000, belongs to a mean over 5 layers and 768 channels:
# 500 / 5 / 768 = 0.13 for a layer's sum over the channels
model = dict(
    terms={
        f'pkd{i}': dict(
            student=dict(path=f'backbone.layers.{i}', tokens='cls'),
            teacher=dict(path=f'backbone.layers.{i}', tokens='cls'),
            neck=dict(type='LinearProjector'),
            loss=dict(type='NormalisedMSELoss', loss_weight=0.13),
        )
        for i in range(6, 11)
    }
)
