# NKD on the logits, with the temperature and the gamma of ViTKD's released configs.
nkd_term = dict(
    student='head',
    teacher='head',
    loss=dict(type='NKDLoss', temperature=1.0, gamma=1.0),
)
