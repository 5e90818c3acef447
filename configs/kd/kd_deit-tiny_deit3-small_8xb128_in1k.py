# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by soft labels, arXiv:1503.02531
#   bash tools/dist_train.sh configs/kd/kd_deit-tiny_deit3-small_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# temperature 1 and half the weight each, as in ViTKD's released config of this pair
model = dict(
    task_weight=0.5,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
    ),
)
