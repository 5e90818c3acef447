# As its base, with the DeiT-Small that was distilled by ViTKD (configs/vitkd)
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './td-hm_vitpose-deit-small_8xb64-210e_coco-256x192.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/vitkd_deit-small_deit3-base_8xb128_in1k/epoch_300.pth'
        )
    )
)
