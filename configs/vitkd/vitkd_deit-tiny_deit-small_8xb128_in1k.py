# DeiT-Small teaches DeiT-Tiny by ViTKD, arXiv:2209.02432
#   bash tools/dist_train.sh configs/vitkd/vitkd_deit-tiny_deit-small_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
# 300 epochs x 7.8 min = 39 h on its 8 RTX 3090 (table 13).
_base_ = [
    '../_base_/students/deit-tiny_in1k.py',
    '../_base_/terms/vitkd_vit.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmpretrain::deit/deit-small_4xb256_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'deit/deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth',
    ),
    terms=_base_.vitkd_terms,
)

# 8 GPUs x 128 = 1024, as upstream's lr = 5e-4 * 1024 / 512 = 1e-3 asks for
train_dataloader = dict(batch_size=128)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
