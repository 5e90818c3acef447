# As its base, with the DeiT-Small that was distilled by ViTKD and NKD (configs/vitkd)
_base_ = './mask-rcnn_vitdet-deit-small_1xb4-ms-1x_coco.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/vitkd-nkd_deit-small_deit3-base_8xb128_in1k/epoch_300.pth'
        )
    )
)
