# A teacher for Fashion-MNIST, trained with the intra-class contrastive loss.
#   python tools/train.py configs/intra_class/intra-class_teacher_fashion-mnist.py
_base_ = '../fashion_mnist/fashion-mnist_teacher.py'

model = dict(
    head=dict(
        type='mmvitkd.ContrastiveClsHead',
        contrast=dict(type='IntraClassContrast', margin=0.5, loss_weight=0.03),
    )
)
data_preprocessor = dict(type='mmvitkd.TwoViewDataPreprocessor')
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline=[
                _base_.train_pipeline[0],
                # two views are what the random transforms make of one image
                dict(
                    type='MultiView',
                    num_views=2,
                    transforms=[_base_.train_pipeline[1:-1]],
                ),
                _base_.train_pipeline[-1],
            ]
        )
    )
)
