# DeiT-Small, with a contrast within its classes, as a teacher, arXiv:2509.22053.
#   C=configs/intra_class/intra-class_deit-small_8xb128_in1k.py
#   bash tools/dist_train.sh $C 8
# Nothing is known of it on ImageNet; MMPretrain's plain DeiT-Small has 80.69 top-1.
_base_ = '../_base_/students/deit-small_in1k.py'

model = dict(
    head=dict(
        type='mmvitkd.ContrastiveClsHead',
        contrast=dict(type='IntraClassContrast', margin=0.5, loss_weight=0.03),
    ),
    # no Mixup and CutMix: an image has to be of one class
    train_cfg=None,
)
data_preprocessor = dict(type='mmvitkd.TwoViewDataPreprocessor')

# 8 GPUs x 128 = 1024 images, as upstream's lr = 5e-4 * 1024 / 512 = 1e-3 asks for;
# with two views a forward of 256
train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        pipeline=[
            _base_.train_pipeline[0],
            dict(
                type='MultiView',
                num_views=2,
                transforms=[_base_.train_pipeline[1:-1]],
            ),
            _base_.train_pipeline[-1],
        ]
    ),
)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
