# As its base, for a detector, whose ViT has no norm after the last block.
_base_ = './vitkd-terms.py'

vitkd_terms = dict(gen=dict(student='backbone.layers.5', teacher='backbone.layers.5'))
