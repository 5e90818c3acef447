# CaiT-S24 teaches DeiT-Tiny by fine-grained manifold distillation, arXiv:2107.01378
#   bash tools/dist_train.sh \
#     configs/manifold/manifold_deit-tiny_cait-s24_8xb64_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './manifold_deit-tiny_deit3-small_8xb128_in1k.py'

# timm's CaiT has 24 blocks before its class token joins
model = dict(
    teacher=dict(
        _delete_=True,
        cfg=dict(type='TimmClassifier', model_name='cait_s24_224'),
        checkpoint='https://dl.fbaipublicfiles.com/deit/S24_224.pth',
    ),
    terms=dict(
        kd=dict(teacher='model.head'),
        **{
            f'manifold{i}': dict(teacher=f'model.blocks.{i if i < 4 else i + 12}')
            for i in (0, 1, 2, 3, 8, 9, 10, 11)
        },
    ),
)

# 8 GPUs x 64 = 512, for which lr = 5e-4 * 512 / 512: a GPU relates its 64 images
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
auto_scale_lr = dict(base_batch_size=512)
