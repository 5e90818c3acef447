# CaiT-S24 teaches DeiT-Tiny by SpectralKD, arXiv:2412.19055
#   bash tools/dist_train.sh \
#     configs/spectral_kd/spectral-kd_deit-tiny_cait-s24_2xb256-400e_in1k.py 2
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

# As released: alpha = 0.9 is of the soft labels, and the spectral loss is the mean over
# eight pairs of layers
model = dict(
    # neither Mixup nor CutMix
    student=dict(train_cfg=None),
    teacher=dict(
        _delete_=True,
        cfg=dict(type='TimmClassifier', model_name='cait_s24_224'),
        checkpoint='https://dl.fbaipublicfiles.com/deit/S24_224.pth',
    ),
    task_weight=0.1,
    terms=dict(
        kd=dict(teacher='model.head', loss=dict(loss_weight=0.9)),
        **{
            f'spectral{s}': dict(
                student=f'backbone.layers.{s}',
                teacher=f'model.blocks.{t}',
                loss=dict(type='SpectralLoss', loss_weight=0.2 / 8),
            )
            for s, t in zip((0, 1, *range(6, 12)), (0, 1, *range(18, 24)), strict=True)
        },
    ),
)

# 2 GPUs x 256 = 512, for which lr = 5e-4 * 512 / 512
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(max_epochs=400)
