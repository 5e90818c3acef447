# DeepLabV3+ on MobileNetV2 under the one on ResNet-101, TaT, arXiv:2205.10793, by patch
# groups and anchor points
#   bash tools/dist_train.sh configs/segmentation/\
#       tat_deeplabv3plus-mobilenet-v2_deeplabv3plus-r101_4xb4-40k_voc12aug-512x512.py 4
# TaT's backbones by mmseg's recipe; not yet run.
_base_ = ['./_base_/deeplabv3plus-mobilenet-v2_voc12aug.py', './_base_/tat_voc12aug.py']

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=_base_.tat_teacher,
    terms=_base_.tat_terms,
    input_size=(512, 512),  # of the crops, which the cells divide
)
