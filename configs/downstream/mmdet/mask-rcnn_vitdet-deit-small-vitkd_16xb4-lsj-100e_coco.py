# As its base, with the DeiT-Small that was distilled by ViTKD (configs/vitkd)
# ViTKD's table 4: box AP 46.28, mask AP 41.05; not yet reproduced.
_base_ = './mask-rcnn_vitdet-deit-small_16xb4-lsj-100e_coco.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/vitkd_deit-small_deit3-base_8xb128_in1k/epoch_300.pth'
        )
    )
)
