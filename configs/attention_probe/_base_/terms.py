# Attention Probe's terms between ViTs of twelve blocks, with weights and temperature as
# released, but for that on noisy labels, which knows the teacher.
attention_probe_terms = dict(
    kd=dict(
        student='head',
        teacher='head',
        loss=dict(type='KDLoss', temperature=4.0, loss_weight=1.0),
    ),
    # as the blocks yield them, before the final norm
    **{
        f'probe{i}': dict(
            student=dict(path=f'backbone.layers.{i}', tokens='all'),
            teacher=dict(path=f'backbone.layers.{i}', tokens='all'),
            loss=dict(type='ProbeLoss', loss_weight=0.8 / 3),
        )
        for i in (3, 7, 11)
    },
)
