# DeiT-Small learns, under half of its multiply-adds, which blocks, heads, dimensions in
# heads and hidden units it can do without, taught by itself as it was: UVC's first
# stage, arXiv:2203.08243
#   bash tools/dist_train.sh configs/uvc/uvc_deit-small_8xb64-30e_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './uvc_deit-tiny_8xb64-30e_in1k.py'

uncompressed = (
    'https://mmassets.onedl.ai/mmclassification/v0/deit/'
    'deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth'
)

model = dict(
    student=dict(
        backbone=dict(arch='deit-small'),
        head=dict(in_channels=384),
        init_cfg=dict(checkpoint=uncompressed),
    ),
    teacher=dict(
        cfg='mmpretrain::deit/deit-small_4xb256_in1k.py', checkpoint=uncompressed
    ),
)
custom_hooks = [dict(_base_.uvc_hooks[0], widths=dict())]
