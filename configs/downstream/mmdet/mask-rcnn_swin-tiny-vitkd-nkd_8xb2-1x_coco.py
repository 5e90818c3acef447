# As its base, with the Swin-Tiny that was distilled by ViTKD and NKD (configs/vitkd)
_base_ = './mask-rcnn_swin-tiny_8xb2-1x_coco.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/vitkd-nkd_swin-tiny_swin-base_8xb128_in1k/epoch_300.pth'
        )
    )
)
