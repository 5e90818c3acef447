# Swin-Base (ImageNet-21K) teaches Mini-Swin-B, whose blocks share their weights two by
# two, by MiniViT's relations, arXiv:2204.07154
#   CONFIG=configs/minivit/minivit_mini-swin-base_swin-base_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './minivit_mini-swin-small_swin-base_8xb128_in1k.py'

model = dict(
    student=dict(
        backbone=dict(arch='base', drop_path_rate=0.2), head=dict(in_channels=1024)
    )
)
