# Swin-Base (ImageNet-21K) teaches Mini-Swin-T, each of whose stages has the weights of
# one block, by MiniViT's relations, arXiv:2204.07154
#   CONFIG=configs/minivit/minivit_mini-swin-tiny_swin-base_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './minivit_swin-tiny_swin-base_8xb128_in1k.py'

# as released: 2 + 2 + 6 + 2 blocks in four groups, and no stochastic depth
model = dict(
    student=dict(
        backbone=dict(type='MiniSwin', share_num=(2, 2, 6, 2), drop_path_rate=0.0)
    )
)
