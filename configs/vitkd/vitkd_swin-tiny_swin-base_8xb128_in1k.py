# Swin-Base (ImageNet-21K) teaches Swin-Tiny by ViTKD, arXiv:2209.02432
#   bash tools/dist_train.sh configs/vitkd/vitkd_swin-tiny_swin-base_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = [
    '../_base_/students/swin-tiny_in1k.py',
    '../_base_/terms/vitkd_swin.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmpretrain::swin_transformer/swin-base_16xb64_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'swin-transformer/convert/swin_base_patch4_window7_224_22kto1k-f967f799.pth',
    ),
    terms=_base_.vitkd_terms,
)

# 8 GPUs x 128 = 1024, as upstream's lr = 5e-4 * 1024 / 512 = 1e-3 asks for
train_dataloader = dict(batch_size=128)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
