# As its base, with the DeiT-Small that was distilled by ViTKD and NKD (configs/vitkd)
# The paper gives no figure for it.
_base_ = './td-hm_vitpose-deit-small_8xb64-210e_coco-256x192.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/vitkd-nkd_deit-small_deit3-base_8xb128_in1k/epoch_300.pth'
        )
    )
)
