# A ViT teaches a small ResNet across architectures on digits, after digits_teacher.py.
#   python tools/train.py configs/cross_architecture/cross-arch_digits.py
_base_ = [
    '../digits/digits_student.py',
    '../_base_/models/teacher-vit-w128_digits.py',
    '../_base_/models/resnet18-w8_digits.py',
    './_base_/terms.py',
]

# the student's map of 4x4, as many places as the teacher has tokens
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.cnn_student,
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher/epoch_40.pth',
    ),
    task_weight=0.5,
    terms=dict(
        kd=_base_.kd_term,
        attention=dict(
            student='backbone.layer2',
            teacher='backbone.layers.5.attn.qkv',
            neck=dict(type='PartialCrossAttentionNeck', num_heads=4),
            loss=_base_.cross_terms.attention.loss,
        ),
        features=dict(
            student='backbone.layer2',
            teacher='backbone.ln1',
            neck=dict(type='AdversarialNeck', groups=2),
            loss=_base_.cross_terms.features.loss,
        ),
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3), paramwise_cfg=dict(custom_keys=_base_.cross_keys)
)

# epochs 25 and 35 of 120 are 42 and 58 of 200
digits_ramp = dict(kind='ramp', begin=42, end=58)
custom_hooks = [
    dict(
        type='mmvitkd.TermWeightHook',
        terms=dict(attention=digits_ramp, features=digits_ramp),
    ),
    dict(type='mmvitkd.StudentViewHook'),
]
