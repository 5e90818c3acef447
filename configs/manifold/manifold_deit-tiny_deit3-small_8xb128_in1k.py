# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by fine-grained manifold distillation,
# arXiv:2107.01378
#   bash tools/dist_train.sh \
#     configs/manifold/manifold_deit-tiny_deit3-small_8xb128_in1k.py 8
# The paper's pair is CaiT-S24 and DeiT-Tiny; none has a figure for this one.
_base_ = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

# As released: soft labels alone, no true ones, and the mean over the pairs of layers
model = dict(
    task_weight=0,
    terms=dict(
        kd=dict(loss=dict(loss_weight=1.0)),
        **{
            f'manifold{i}': dict(
                student=f'backbone.layers.{i}',
                teacher=f'backbone.layers.{i}',
                loss=dict(
                    type='ManifoldLoss',
                    intra=4.0,
                    inter=0.1,
                    random=0.2,
                    num_samples=192,
                    loss_weight=1 / 8,
                ),
            )
            for i in (0, 1, 2, 3, 8, 9, 10, 11)
        },
    ),
)
