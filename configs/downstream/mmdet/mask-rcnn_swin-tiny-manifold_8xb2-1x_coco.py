# As its base, with the Swin-Tiny that was distilled by manifolds (configs/manifold)
_base_ = './mask-rcnn_swin-tiny_8xb2-1x_coco.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/manifold_swin-tiny_swin-small_8xb128_in1k/'
            'epoch_300.pth'
        )
    )
)
