# ViTKD between Swin transformers. Which layers the paper takes is not published; the
# nearest to its text are the first two blocks, on the 56x56 grid, and the last map,
# after the final norm, on the 7x7 grid.
_base_ = './vitkd_vit.py'

vitkd_terms = dict(
    mimic0=dict(
        student='backbone.stages.0.blocks.0', teacher='backbone.stages.0.blocks.0'
    ),
    mimic1=dict(
        student='backbone.stages.0.blocks.1', teacher='backbone.stages.0.blocks.1'
    ),
    gen=dict(student='backbone', teacher='backbone'),
)
