# CaiT-XXS24 teaches DeiT-Tiny by fine-grained manifold distillation, arXiv:2107.01378
#   bash tools/dist_train.sh \
#     configs/manifold/manifold_deit-tiny_cait-xxs24_8xb64_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './manifold_deit-tiny_cait-s24_8xb64_in1k.py'  # as many layers, narrower

model = dict(
    teacher=dict(
        cfg=dict(model_name='cait_xxs24_224'),
        checkpoint='https://dl.fbaipublicfiles.com/deit/XXS24_224.pth',
    )
)
