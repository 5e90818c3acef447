_base_ = ['./digits_student.py', '../_base_/models/teacher-vit-w128_digits.py']

model = dict(
    _delete_=True,
    type='ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher/epoch_40.pth',
    ),
    # The paper's sums run over 196 tokens of 384 channels, here over 16 of 128:
    # the weights grow by about 196 * 384 / (16 * 128) = 37 for the same pull.
    terms=dict(
        mimic0=dict(
            student='backbone.layers.0',
            teacher='backbone.layers.0',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=1e-3),
        ),
        mimic1=dict(
            student='backbone.layers.1',
            teacher='backbone.layers.1',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=1e-3),
        ),
        gen=dict(
            student='backbone.ln1',
            teacher='backbone.ln1',
            neck=dict(type='ConvGenerativeProjector', mask_ratio=0.5),
            loss=dict(type='ViTKDGenLoss', loss_weight=1e-4),
        ),
    ),
)
