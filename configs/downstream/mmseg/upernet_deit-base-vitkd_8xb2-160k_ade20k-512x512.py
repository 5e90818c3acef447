# As its base, with the DeiT-Base that was distilled by ViTKD (configs/vitkd)
# The paper gives no figure for it.
_base_ = './upernet_deit-base_8xb2-160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/vitkd_deit-base_deit3-large_8xb128_in1k/epoch_300.pth'
        )
    )
)
