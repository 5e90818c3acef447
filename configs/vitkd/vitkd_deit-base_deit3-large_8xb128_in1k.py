# DeiT III-Large (ImageNet-21K) teaches DeiT-Base by ViTKD, arXiv:2209.02432
#   bash tools/dist_train.sh configs/vitkd/vitkd_deit-base_deit3-large_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = [
    '../_base_/students/deit-base_in1k.py',
    '../_base_/terms/vitkd_vit.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmpretrain::deit3/deit3-large-p16_64xb64_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'deit3/deit3-large-p16_in21k-pre_3rdparty_in1k_20221009-d8d27084.pth',
    ),
    terms=_base_.vitkd_terms,
)

# 8 GPUs x 128 = 1024, as upstream's lr = 5e-4 * 1024 / 512 = 1e-3 asks for
train_dataloader = dict(batch_size=128)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
