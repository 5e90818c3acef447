# ResNet-101 as DearKD's teacher: torchvision's weights, by timm. Its maps of 28x28 and
# 14x14, as the RegNetY's: the end of the second stage, the fifth block of the third.
_base_ = './dearkd.py'

resnet_teacher = dict(
    _delete_=True,
    cfg=dict(type='TimmClassifier', model_name='resnet101'),
    checkpoint='https://download.pytorch.org/models/resnet101-63fe2227.pth',
)
dearkd_terms = dict(
    hard=dict(teacher='model.fc'),
    hidden1=dict(teacher='model.layer2'),
    hidden3=dict(teacher='model.layer3.4'),
)
