# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by hard labels, arXiv:2012.12877
#   bash tools/dist_train.sh \
#     configs/hard_kd/hard-kd_deit-tiny_deit3-small_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# half the weight each, as in DeiT
model = dict(
    task_weight=0.5,
    terms=dict(
        _delete_=True,
        hard_kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='HardKDLoss', loss_weight=0.5),
        ),
    ),
)
