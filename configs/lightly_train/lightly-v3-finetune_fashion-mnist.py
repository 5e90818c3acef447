# Fine-tunes what lightly-v3_fashion-mnist.py left on 2,000 labels of Fashion-MNIST.
#   python tools/train.py configs/lightly_train/lightly-v3-finetune_fashion-mnist.py
_base_ = '../fashion_mnist/fashion-mnist_student.py'

student_checkpoint = 'work_dirs/lightly-v3_fashion-mnist/epoch_10.pth'
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='mmvitkd.StrictPretrained',
            checkpoint=student_checkpoint,
            prefix='student.backbone.',
        )
    )
)
# a quarter of the rate from the beginning, less for lower layers, as TinyViT's
optim_wrapper = dict(
    constructor='mmvitkd.LearningRateDecayOptimWrapperConstructor',
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8),
)
